// The cache of this machine's loader, as `ldconfig -p` tells it.

/** The files of each name, in the loader's order; empty where there is no such program (musl). */
export async function readLoaderCache(): Promise<ReadonlyMap<string, readonly string[]>> {
  // Loaded here, as execa is a fifth of the host's start.
  const { execa } = await import('execa');
  const files = new Map<string, string[]>();
  for (const program of ['/sbin/ldconfig', '/usr/sbin/ldconfig']) {
    const { stdout, failed } = await execa(program, ['-p'], {
      reject: false,
      stdin: 'ignore',
      stderr: 'ignore',
      env: { LC_ALL: 'C' },
    });
    if (failed) continue;
    for (const line of stdout.split('\n')) {
      const match = /^\t(\S+) \(.*\) => (\/.*)$/.exec(line);
      if (match?.[1] === undefined || match[2] === undefined) continue;
      files.set(match[1], [...(files.get(match[1]) ?? []), match[2]]);
    }
    return files;
  }
  return files;
}
