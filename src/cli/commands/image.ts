// The commands about images: build, pull, push, list, inspect, remove, prune.
import path from 'node:path';
import type { Image } from '../../protocol/methods.ts';
import type { CommandModule } from '../command.ts';
import { UsageError } from '../failure.ts';
import { forEachName } from '../for-each.ts';
import { definitions, table, type Column } from '../layout.ts';
import { formatBytes, formatCount } from '../quantities.ts';
import { onOneLine, quotedList } from '../text.ts';
import {
  absoluteReference,
  declareCredentials,
  readCredentials,
  transfer,
  type CredentialOptions,
} from '../transfer.ts';

interface BuildOptions extends CredentialOptions {
  readonly tag?: string;
  readonly output?: string;
  readonly platform?: string;
  readonly push?: true;
}

export const build: CommandModule<BuildOptions> = {
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
      name: tag,
      output: target === undefined ? undefined : absoluteReference(target),
      platform,
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
  },
};

interface PullOptions extends CredentialOptions {
  readonly platform?: string;
}

export const pull: CommandModule<PullOptions> = {
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
    return await forEachName(context, { list: 'pulled', key: 'reference' }, references, async (reference) => {
      const image = await transfer(context, 'image/pull', {
        reference: absoluteReference(reference),
        platform,
        ...credentials,
      });
      const size = `${formatBytes(image.sizeBytes)}, ${formatCount(image.layers.length, 'layer')}`;
      const digest = output.style('dim', image.digest);
      if (!global.json) output.write(`Pulled ${onOneLine(reference)} ${digest} (${size})\n`);
      return { image };
    });
  },
};

export const push: CommandModule<CredentialOptions> = {
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
    const { signal, output, print } = context;
    const pushed = await transfer(context, 'image/push', {
      name,
      reference: reference === undefined ? undefined : absoluteReference(reference),
      ...(await readCredentials(given, signal)),
    });
    print(pushed, () => `Pushed ${onOneLine(pushed.reference)} ${output.style('dim', pushed.digest)}\n`);
  },
};

const listColumns: readonly Column<Image>[] = [
  { title: 'NAME', value: ({ names }) => names.join(',') || '-', format: () => 'cyan' },
  { title: 'DIGEST', value: ({ digest }) => digest.slice(0, 'sha256:'.length + 12) },
  { title: 'PLATFORM', value: ({ platform }) => platform },
  { title: 'LAYERS', value: ({ layers }) => String(layers.length), align: 'right' },
  { title: 'SIZE', value: ({ sizeBytes }) => formatBytes(sizeBytes), align: 'right' },
  { title: 'CREATED', value: ({ created }) => created ?? '-' },
];

export const list: CommandModule = {
  async run({ global, signal, output, print, say, session }) {
    const { client } = await session();
    const result = await client.request('image/list', {}, { signal });
    if (result.images.length === 0 && !global.json) say('There are no images in the store.');
    else print(result, () => table(result.images, listColumns, output.style));
  },
};

export const inspect: CommandModule = {
  configure(command) {
    command.argument('<name>', 'a name, a digest, or the start of a digest');
  },

  async run({ signal, output, print, session }, [name = '']) {
    const { client } = await session();
    const image = await client.request('image/inspect', { name }, { signal });
    const pairs = (values: Readonly<Record<string, string>>): string =>
      Object.entries(values)
        .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
        .join(' ') || '-';
    const layers = table(
      image.layers,
      [
        { title: 'LAYER', value: ({ digest }) => digest },
        { title: 'SIZE', value: ({ sizeBytes }) => formatBytes(sizeBytes), align: 'right' },
        { title: 'TYPE', value: ({ mediaType }) => onOneLine(mediaType) },
      ],
      output.style,
    );
    print(
      image,
      () =>
        `${definitions(
          [
            ['names', image.names.join(', ') || '-'],
            ['digest', image.digest],
            ['size', formatBytes(image.sizeBytes)],
            ['platform', image.platform],
            ['created', image.created ?? '-'],
            ['user', image.user || '-'],
            ['working directory', image.workingDirectory || '-'],
            ['entry point', quotedList(image.entrypoint)],
            ['command', quotedList(image.command)],
            ['environment', quotedList(image.environment)],
            ['labels', pairs(image.labels)],
            ['annotations', pairs(image.annotations)],
          ],
          output.style,
        )}\n${layers}`,
    );
  },
};

interface RemoveOptions {
  readonly force?: true;
}

export const remove: CommandModule<RemoveOptions> = {
  configure(command) {
    command
      .argument('<names...>', 'names, digests, or starts of digests')
      .usage('[options] NAME…')
      .option('--force', 'also where it is an installed driver: its language then has none');
  },

  async run(context, names, { force }) {
    const { global, signal, output, session } = context;
    const { client } = await session();
    return await forEachName(context, { list: 'removed', key: 'name' }, names, async (name) => {
      const { removed, names: also } = await client.request('image/remove', { name, force }, { signal });
      if (!global.json) output.write(`Removed ${onOneLine(name)} ${output.style('dim', removed)}\n`);
      return { removed, names: also };
    });
  },
};

export const prune: CommandModule = {
  async run({ signal, output, print, session }) {
    const { client } = await session();
    const pruned = await client.request('image/prune', {}, { signal });
    const removed = pruned.removed.map((digest) => `Removed ${output.style('dim', digest)}\n`);
    const freed = `Freed ${formatBytes(pruned.freedBytes)} (${formatCount(pruned.removed.length, 'blob')})\n`;
    print(pruned, () => removed.join('') + freed);
  },
};
