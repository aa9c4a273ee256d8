// driver install: one image after another, each with its progress; one that fails does not keep the others from trying.
import { isBabelhostError } from '../../errors.ts';
import type { Result } from '../../protocol/methods.ts';
import { command, type Context, type ExitStatus } from '../command.ts';
import { errorObject, printFailure, UsageError } from '../failure.ts';
import { ProgressDisplay, TransferBars } from '../progress.ts';
import { absoluteReference } from '../references.ts';
import { onOneLine } from '../text.ts';

interface Options {
  readonly update?: true;
  readonly force?: true;
  readonly platform?: string;
}

export default command<Options>({
  configure(command) {
    command
      .argument('<arguments...>', '[LANGUAGE] REFERENCE…')
      .usage('[options] [LANGUAGE] REFERENCE…')
      .option('--update', 'put it in the place of a driver that is installed for the language')
      .option('--force', 'take a driver that is installed already for no failure')
      .option('--platform <platform>', 'os/architecture[/variant] of the image, in place of this machine’s')
      .addHelpText(
        'after',
        [
          '',
          'References: docker://REGISTRY/NAME:TAG (or just that, without docker://), oci:DIR[:TAG], oci-archive:FILE.',
          'With a LANGUAGE before the reference, an image that serves another language is refused.',
          '',
          "Examples: 'babelhost driver install oci:./images:python', 'babelhost driver install python docker://host/python-driver:1'",
        ].join('\n'),
      );
  },

  async run(context, args, options) {
    const { language, references } = readArguments(args);
    const results: object[] = [];
    let status: ExitStatus = 0;
    for (const reference of references) {
      try {
        results.push(await install(context, reference, language, options));
      } catch (error) {
        if (context.signal.aborted) throw error;
        if (options.force === true && isBabelhostError(error, 'driverAlreadyInstalled')) {
          context.say(`${onOneLine(reference)}: ${onOneLine(String(error.data['language']))} is installed already`);
          results.push({ reference, skipped: errorObject(error) });
          continue;
        }
        status = 1;
        printFailure(error, context.global.json);
        results.push({ reference, error: errorObject(error) });
      }
    }
    if (context.global.json) context.output.json({ installed: results });
    return status;
  },
});

async function install(
  { global, signal, output, session }: Context,
  reference: string,
  language: string | undefined,
  { update, platform }: Options,
): Promise<object> {
  const opened = await session();
  const bars = new TransferBars();
  let installed: Result<'driver/install'>;
  {
    using display = new ProgressDisplay(!global.json, opened);
    display.show(() => bars.lines(display.columns));
    installed = await opened.client.request(
      'driver/install',
      {
        reference: absoluteReference(reference),
        ...(language !== undefined && { language }),
        ...(update !== undefined && { update }),
        ...(platform !== undefined && { platform }),
      },
      {
        signal,
        onProgress: (progress) => {
          bars.update(progress);
        },
      },
    );
  }
  const { driver, unchanged, replaced } = installed;
  if (!global.json) {
    const done = unchanged ? 'Unchanged' : replaced === undefined ? 'Installed' : 'Updated';
    const version = driver.manifest.version === undefined ? '' : ` ${driver.manifest.version}`;
    output.write(`${done} ${onOneLine(`${driver.language}${version}`)} ${output.style('dim', driver.digest)}\n`);
  }
  return { reference, ...installed };
}

/** A first argument is a language where it looks like no reference and one follows. */
function readArguments(args: readonly string[]): { language?: string; references: readonly string[] } {
  const [first = '', ...rest] = args;
  if (rest.length === 0 || /[/:]/.test(first)) return { references: args };
  if (rest.length > 1) {
    throw new UsageError(
      `A LANGUAGE goes with one REFERENCE: '${first}' is followed by ${rest.length}. (An image of that name is docker://${first}.)`,
    );
  }
  return { language: first, references: rest };
}
