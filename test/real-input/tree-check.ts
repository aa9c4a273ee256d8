// What the checks of both languages' trees share: walking decoded JSON, and collecting what is wrong.

/** A JSON object of a tree. */
export type TreeObject = Readonly<Record<string, unknown>>;

export function isTreeObject(value: unknown): value is TreeObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Calls `visit` for every object in a decoded tree, outer ones first, with the object around it. Keeps its own stack:
 * trees nest more deeply than a recursive walk may.
 */
export function walkTree(root: unknown, visit: (object: TreeObject, parent: TreeObject | undefined) => void): void {
  const stack: [unknown, TreeObject | undefined][] = [[root, undefined]];
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const [value, parent] = next;
    if (Array.isArray(value)) {
      for (let index = value.length - 1; index >= 0; index -= 1) stack.push([value[index], parent]);
    } else if (isTreeObject(value)) {
      visit(value, parent);
      const members = Object.values(value);
      for (let index = members.length - 1; index >= 0; index -= 1) {
        if (typeof members[index] === 'object') stack.push([members[index], value]);
      }
    }
  }
}

/** Problems found in a tree: how many, and the first ones in words. */
export class Problems {
  /** No more than this many are put into words. */
  static readonly listed = 20;
  count = 0;
  readonly list: string[] = [];

  /** Notes a problem; `describe` is called only if it will be listed. */
  add(describe: () => string): void {
    this.count += 1;
    if (this.list.length < Problems.listed) this.list.push(describe());
  }
}
