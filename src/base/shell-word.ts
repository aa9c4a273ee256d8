/** A word of a shell command that a person may copy: quoted where the shell would take it as something else. */
export function shellWord(text: string): string {
  return /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
