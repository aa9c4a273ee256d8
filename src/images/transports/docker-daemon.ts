// The transport docker-daemon: — an image of a Docker daemon. Docker Engine API, "Export several images": the answer is what
// `docker save` writes.
import { createWriteStream } from 'node:fs';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { Agent, request } from 'undici';
import { BabelhostError, messageOf, systemErrorCode } from '../../base/errors.ts';
import { bounded, type ImageLimits } from '../limits.ts';

/** How long the daemon may take before it begins to answer, in milliseconds: it puts the archive together first. */
const answerTimeoutMs = 300_000;

/** Of a daemon's answer with an error, in characters. */
const messageLimit = 65_536;

/**
 * Saves the image `name` as an archive in the folder `work`.
 * @param host - as DOCKER_HOST: `unix:///path`, `tcp://host:port` or `http://host:port`.
 * @throws BabelhostError `imageNotFound` if the daemon does not have it or cannot be reached.
 */
export async function saveFromDaemon(
  name: string,
  work: string,
  limits: ImageLimits,
  signal?: AbortSignal,
  host = process.env['DOCKER_HOST'] ?? 'unix:///var/run/docker.sock',
): Promise<string> {
  const socketPath = host.startsWith('unix://') ? host.slice('unix://'.length) : undefined;
  const address = URL.parse(socketPath === undefined ? host.replace(/^tcp:/, 'http:') : 'http://localhost');
  if (address === null || !/^https?:$/.test(address.protocol)) {
    throw unreachable(name, host, 'DOCKER_HOST should be unix:///PATH, tcp://HOST:PORT or http://HOST:PORT');
  }
  const dispatcher = new Agent({
    headersTimeout: answerTimeoutMs,
    ...(socketPath === undefined ? {} : { connect: { socketPath } }),
  });
  try {
    const answer = await request(new URL(`/images/get?names=${encodeURIComponent(name)}`, address), {
      dispatcher,
      ...(signal === undefined ? {} : { signal }),
    });
    const message = answer.statusCode === 200 ? '' : await daemonMessage(answer.body);
    // Podman's service, which speaks the same API, answers 500 here.
    if (answer.statusCode === 404 || /no such image|image not known/i.test(message)) {
      throw new BabelhostError('imageNotFound', `The Docker daemon has no image ${name}: see 'docker images'.`, {
        reference: `docker-daemon:${name}`,
        host,
      });
    }
    if (answer.statusCode !== 200)
      throw unreachable(name, host, `it answered with status ${answer.statusCode}${message}`);
    const file = path.join(work, 'docker-daemon.tar');
    await pipeline(
      answer.body,
      (chunks: AsyncIterable<Buffer>) => bounded(chunks, 'unpackedBytes', limits, `The image ${name}`),
      createWriteStream(file, { flags: 'wx' }),
      signal === undefined ? {} : { signal },
    );
    return file;
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof BabelhostError || systemErrorCode(error) === 'ENOSPC') throw error;
    throw unreachable(name, host, messageOf(error), error);
  } finally {
    await dispatcher.destroy();
  }
}

/** The daemon's message about an error, in parentheses, or ''. */
async function daemonMessage(body: AsyncIterable<Buffer>): Promise<string> {
  let text = '';
  for await (const piece of body) {
    text += piece.toString('utf8');
    if (text.length > messageLimit) return '';
  }
  try {
    const { message } = JSON.parse(text) as { message?: unknown };
    return typeof message === 'string' ? ` (${message.replace(/\p{Cc}/gu, ' ').slice(0, 300)})` : '';
  } catch {
    return '';
  }
}

function unreachable(name: string, host: string, reason: string, cause?: unknown): BabelhostError {
  return new BabelhostError(
    'imageNotFound',
    `The Docker daemon at ${host} cannot be asked for ${name}: ${reason}. Is it running, and may this user reach its socket?`,
    { reference: `docker-daemon:${name}`, host, reason: 'unreachable' },
    cause === undefined ? {} : { cause },
  );
}
