// image build: an OCI image from a recipe folder, into the store or to where --output says, and on to a registry.
import path from 'node:path';
import { command } from '../command.ts';
import { declareCredentials, readCredentials, type CredentialOptions } from '../credentials.ts';
import { UsageError } from '../failure.ts';
import { formatBytes, formatCount } from '../quantities.ts';
import { absoluteReference } from '../references.ts';
import { onOneLine } from '../text.ts';
import { transfer } from '../transfer.ts';

interface Options extends CredentialOptions {
  readonly tag?: string;
  readonly output?: string;
  readonly platform?: string;
  readonly push?: true;
}

export default command<Options>({
  configure(command) {
    command
      .argument('<folder>', 'the folder with image.toml')
      .option('--tag <name>', 'name of the image, in place of the recipe’s own')
      .option('--output <reference>', 'write it to oci:DIR[:TAG] or oci-archive:FILE, in place of the store')
      .option('--platform <platform>', 'os/architecture[/variant] of the image, in place of the recipe’s')
      .option('--push', 'then push it to the registry of its name');
    declareCredentials(command);
  },

  async run(context, [folder = ''], { tag, output: target, platform, push, ...given }) {
    const { global, signal, output } = context;
    if (push === true && target !== undefined) {
      throw new UsageError('--push sends the image from the store, and --output keeps it out of there: choose one.');
    }
    const credentials = await readCredentials(given, signal);
    const image = await transfer(context, 'image/build', {
      directory: path.resolve(folder),
      ...(tag !== undefined && { name: tag }),
      ...(target !== undefined && { output: absoluteReference(target) }),
      ...(platform !== undefined && { platform }),
      // One registry's alone: with --push they are for where the image goes, and the base's come from files.
      ...(push !== true && credentials),
    });
    if (!global.json) {
      const name = target ?? tag ?? image.names[0] ?? folder;
      const size = `${formatBytes(image.sizeBytes)}, ${formatCount(image.layers.length, 'layer')}`;
      output.write(`Built ${onOneLine(name)} ${output.style('dim', image.digest)} (${size})\n`);
    }
    if (push === true) {
      // By the name of this build, which is the image's last: it may have had others before.
      const name = tag ?? image.names.at(-1) ?? image.digest;
      const pushed = await transfer(context, 'image/push', { name, ...credentials });
      if (global.json) output.json({ ...image, pushed: pushed.reference });
      else output.write(`Pushed ${onOneLine(pushed.reference)} ${output.style('dim', pushed.digest)}\n`);
    } else if (global.json) output.json(image);
    return 0;
  },
});
