// image build: an OCI image from a recipe folder, into the store or to where --output says.
import path from 'node:path';
import type { Image } from '../../protocol/methods.ts';
import { command } from '../command.ts';
import { ProgressDisplay, TransferBars } from '../progress.ts';
import { formatBytes, formatCount } from '../quantities.ts';
import { absoluteReference } from '../references.ts';
import { onOneLine } from '../text.ts';

interface Options {
  readonly tag?: string;
  readonly output?: string;
}

export default command<Options>({
  configure(command) {
    command
      .argument('<folder>', 'the folder with image.toml')
      .option('--tag <name>', 'name of the image, in place of the recipe’s own')
      .option('--output <reference>', 'write it to oci:DIR[:TAG] or oci-archive:FILE, in place of the store');
  },

  async run({ global, signal, output, session }, [folder = ''], { tag, output: target }) {
    const opened = await session();
    const bars = new TransferBars();
    let image: Image;
    {
      using display = new ProgressDisplay(!global.json, opened);
      display.show(() => bars.lines(display.columns));
      image = await opened.client.request(
        'image/build',
        {
          directory: path.resolve(folder),
          ...(tag !== undefined && { name: tag }),
          ...(target !== undefined && { output: absoluteReference(target) }),
        },
        {
          signal,
          onProgress: (progress) => {
            bars.update(progress);
          },
        },
      );
    }
    if (global.json) output.json(image);
    else {
      const name = target ?? image.names[0] ?? folder;
      const size = `${formatBytes(image.sizeBytes)}, ${formatCount(image.layers.length, 'layer')}`;
      output.write(`Built ${onOneLine(name)} ${output.style('dim', image.digest)} (${size})\n`);
    }
    return 0;
  },
});
