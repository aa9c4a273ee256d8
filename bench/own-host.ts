// A host within the bench's own process, for what is made ready and not measured.
import { duplexPair } from 'node:stream';
import { Host } from '../src/host.ts';
import { Client } from '../src/protocol/client.ts';

/** Does work with a client of a host on a root, which ends with the work. */
export async function withOwnHost<Result>(root: string, work: (client: Client) => Promise<Result>): Promise<Result> {
  await using host = await Host.start({ root });
  const [ours, theirs] = duplexPair();
  host.serve(theirs, theirs);
  using client = new Client(ours, ours);
  return await work(client);
}
