// image pull: images into the store, one after another; one that fails does not keep the others from coming.
import { command } from '../command.ts';
import { declareCredentials, readCredentials, type CredentialOptions } from '../credentials.ts';
import { forEachName } from '../for-each.ts';
import { formatBytes, formatCount } from '../quantities.ts';
import { absoluteReference } from '../references.ts';
import { onOneLine } from '../text.ts';
import { transfer } from '../transfer.ts';

interface Options extends CredentialOptions {
  readonly platform?: string;
}

export default command<Options>({
  configure(command) {
    command
      .argument('<references...>', 'where the images are')
      .usage('[options] REFERENCE…')
      .option('--platform <platform>', 'os/architecture[/variant] of the image, in place of this machine’s')
      .addHelpText(
        'after',
        '\nReferences: docker://REGISTRY/NAME:TAG (or just that, without docker://), oci:DIR[:TAG], oci-archive:FILE,\ndocker-archive:FILE, docker-daemon:NAME.',
      );
    declareCredentials(command);
  },

  async run(context, references, { platform, ...given }) {
    const { global, signal, output } = context;
    const credentials = await readCredentials(given, signal);
    return await forEachName(
      context,
      'pulled',
      references,
      (reference) => ({ reference }),
      async (reference) => {
        const image = await transfer(context, 'image/pull', {
          reference: absoluteReference(reference),
          ...(platform !== undefined && { platform }),
          ...credentials,
        });
        const size = `${formatBytes(image.sizeBytes)}, ${formatCount(image.layers.length, 'layer')}`;
        const digest = output.style('dim', image.digest);
        if (!global.json) output.write(`Pulled ${onOneLine(reference)} ${digest} (${size})\n`);
        return { image };
      },
    );
  },
});
