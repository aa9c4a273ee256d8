// Scans a driver's answer: a line that holds one JSON value, whose outermost members are looked up by their names.
import { JsonScanner, type Span } from './scanner.ts';

export class JsonLineScanner extends JsonScanner {
  /** The outermost object's members, by name. */
  readonly members: ReadonlyMap<string, Span>;

  constructor(depthLimit: number) {
    const members = new Map<string, Span>();
    super({
      depthLimit,
      line: true,
      // Two members of one name: decoders differ in which they take, so neither is taken. The name is not told: reasons
      // are logged, and it may be anything, the source's text too.
      onName: (name) => (members.has(name) ? { refuse: 'a member twice' } : undefined),
      onMember: (name, _depth, span) => members.set(name, span),
    });
    this.members = members;
  }
}
