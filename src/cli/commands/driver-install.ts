// driver install: one image after another, each with its progress; one that fails does not keep the others from trying.
// Which ones, the arguments say, or a catalogue file.
import path from 'node:path';
import { isBabelhostError } from '../../base/errors.ts';
import type { Params, Result } from '../../protocol/methods.ts';
import type { CommandModule, Context } from '../command.ts';
import { errorObject, UsageError } from '../failure.ts';
import { forEachName } from '../for-each.ts';
import { driverLimitNames, parseDriverLimit, type DriverLimits } from '../named-limits.ts';
import { onOneLine } from '../text.ts';
import {
  absoluteReference,
  declareCredentials,
  readCredentials,
  transfer,
  type CredentialOptions,
} from '../transfer.ts';

interface Options extends CredentialOptions {
  readonly update?: true;
  readonly force?: true;
  readonly all?: true;
  readonly recommended?: true;
  readonly catalogue?: string;
  readonly platform?: string;
  readonly limit?: DriverLimits;
}

/** What one request installs, with what the user calls it. */
interface Wanted {
  readonly called: string;
  readonly params: Params<'driver/install'>;
}

export const install: CommandModule<Options> = {
  configure(command) {
    command
      .argument('[arguments...]', '[LANGUAGE] REFERENCE…')
      .usage('[options] [LANGUAGE] REFERENCE… | --all | --recommended')
      .option('--update', 'put it in the place of a driver that is installed for the language')
      .option('--force', 'take a driver that is installed already for no failure')
      .option('--all', 'install every driver of the catalogue file that is not installed')
      .option('--recommended', 'of these, those whose status is at least beta')
      .option('--catalogue <file>', 'the catalogue file, in place of the host’s (env: BABELHOST_CATALOGUE)')
      .option('--platform <platform>', 'os/architecture[/variant] of the image, in place of this machine’s')
      .option('--limit <limit>', `NAME=VALUE, a limit of its containers: ${driverLimitNames}`, parseDriverLimit)
      .addHelpText(
        'after',
        [
          '',
          'References: docker://REGISTRY/NAME:TAG (or just that, without docker://), oci:DIR[:TAG], oci-archive:FILE,',
          'docker-archive:FILE, docker-daemon:NAME.',
          'With a LANGUAGE before the reference, an image that serves another language is refused.',
          '',
          "Examples: 'babelhost driver install oci:./images:python', 'babelhost driver install python docker://host/python-driver:1',",
          "'babelhost driver install --recommended'",
        ].join('\n'),
      );
    declareCredentials(command);
  },

  async run(context, args, options) {
    const fromCatalogue = options.all === true || options.recommended === true;
    checkUsage(args, options, fromCatalogue);
    const given = fromCatalogue ? [] : readArguments(args);
    const credentials = await readCredentials(options, context.signal);
    const wanted = fromCatalogue ? await readCatalogue(context, options) : given;
    const names = wanted.map(({ called }) => called);
    return await forEachName(context, { list: 'installed', key: 'reference' }, names, async (called, index) => {
      try {
        return await installOne(context, { ...wanted[index]?.params, ...credentials }, options);
      } catch (error) {
        if (context.signal.aborted) throw error;
        // A catalogue's drivers may be installed already.
        const acceptable = options.force === true || fromCatalogue;
        if (!acceptable || !isBabelhostError(error, 'driverAlreadyInstalled')) throw error;
        context.say(`${onOneLine(called)}: ${onOneLine(String(error.data['language']))} is installed already`);
        return { skipped: errorObject(error) };
      }
    });
  },
};

function checkUsage(args: readonly string[], options: Options, fromCatalogue: boolean): void {
  const { all, recommended, catalogue, username, passwordStdin } = options;
  if (!fromCatalogue) {
    if (args.length === 0) {
      throw new UsageError('There is nothing to install: name a REFERENCE, or give --all or --recommended.');
    }
    if (catalogue !== undefined) throw new UsageError('--catalogue goes with --all or --recommended.');
    return;
  }
  if (args.length > 0) throw new UsageError('--all and --recommended take no REFERENCE: the catalogue file has them.');
  if (all === true && recommended === true) throw new UsageError('Give --all or --recommended, not both.');
  if (username !== undefined || passwordStdin !== undefined) {
    throw new UsageError(
      '--username and --password-stdin are for the registry of a REFERENCE; a catalogue file may name several.',
    );
  }
}

/** What a catalogue file has to install. */
async function readCatalogue({ session, signal }: Context, options: Options): Promise<Wanted[]> {
  const { client } = await session();
  // A host that runs elsewhere has an environment of its own.
  const catalogue = options.catalogue ?? process.env['BABELHOST_CATALOGUE'] ?? '';
  const { drivers } = await client.request(
    'driver/catalogue',
    {
      select: options.all === true ? 'all' : 'recommended',
      file: catalogue === '' ? undefined : path.resolve(catalogue),
    },
    { signal },
  );
  return drivers.map(({ language, reference, recipe, platform }) => ({
    called: reference ?? recipe ?? language,
    params: { language, reference, recipe, platform },
  }));
}

async function installOne(
  context: Context,
  params: Params<'driver/install'>,
  { update, platform, limit }: Options,
): Promise<Result<'driver/install'>> {
  const { global, output } = context;
  const installed = await transfer(context, 'driver/install', {
    ...params,
    update,
    limits: limit,
    platform: platform ?? params.platform,
  });
  const { driver, unchanged, replaced } = installed;
  if (!global.json) {
    const done = unchanged ? 'Unchanged' : replaced === undefined ? 'Installed' : 'Updated';
    const version = driver.manifest.version === undefined ? '' : ` ${driver.manifest.version}`;
    output.write(`${done} ${onOneLine(`${driver.language}${version}`)} ${output.style('dim', driver.digest)}\n`);
  }
  return installed;
}

/** A first argument is a language where it looks like no reference and one follows. */
function readArguments(args: readonly string[]): Wanted[] {
  const [first = '', ...rest] = args;
  const wanted = (reference: string, language?: string): Wanted => ({
    called: reference,
    params: { reference: absoluteReference(reference), language },
  });
  if (rest.length === 0 || /[/:]/.test(first)) return args.map((reference) => wanted(reference));
  if (rest.length > 1) {
    throw new UsageError(
      `A LANGUAGE goes with one REFERENCE: '${first}' is followed by ${rest.length}. (An image of that name is docker://${first}.)`,
    );
  }
  return rest.map((reference) => wanted(reference, first));
}
