// image push: an image of the store to a registry, or to a layout or an archive of one.
import { command } from '../command.ts';
import { declareCredentials, readCredentials, type CredentialOptions } from '../credentials.ts';
import { absoluteReference } from '../references.ts';
import { onOneLine } from '../text.ts';
import { transfer } from '../transfer.ts';

export default command<CredentialOptions>({
  configure(command) {
    command
      .argument('<name>', 'a name, a digest, or the start of a digest')
      .argument(
        '[reference]',
        'where to: docker://REGISTRY/NAME:TAG, oci:DIR[:TAG], oci-archive:FILE; by its name else',
      );
    declareCredentials(command);
  },

  async run(context, [name = '', reference], given) {
    const { global, signal, output } = context;
    const pushed = await transfer(context, 'image/push', {
      name,
      ...(reference !== undefined && { reference: absoluteReference(reference) }),
      ...(await readCredentials(given, signal)),
    });
    if (global.json) output.json(pushed);
    else output.write(`Pushed ${onOneLine(pushed.reference)} ${output.style('dim', pushed.digest)}\n`);
    return 0;
  },
});
