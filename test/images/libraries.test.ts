// The libraries of programs that go into an image: real ones, which the C compiler makes, and which run in the image.
import { execFileSync } from 'node:child_process';
import { mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import type { ImageStore } from '../../src/images/index.ts';
import { filesIn, openStore } from './support/stores.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

let scratch: string;
/** Where what the compiler makes lies. */
let made: string;
let store: ImageStore;

beforeEach(async () => {
  scratch = await temporaryFolder();
  made = path.join(scratch, 'made');
  store = await openStore(scratch);
  return () => store[Symbol.asyncDispose]();
});

interface Compiled {
  readonly code: string;
  /** Files of `made` that it is linked with; it needs them by their names alone. */
  readonly needs?: readonly string[];
  readonly runpath?: string;
  readonly rpath?: string;
}

/** Compiles a shared library, or a program where the file's name does not end in .so. */
async function compile(file: string, { code, needs = [], runpath, rpath }: Compiled): Promise<void> {
  const target = path.join(made, file);
  await mkdir(path.dirname(target), { recursive: true });
  const folder = runpath ?? rpath;
  const options = file.endsWith('.so') ? ['-shared', '-fPIC', `-Wl,-soname,${path.basename(file)}`] : [];
  if (folder !== undefined) {
    options.push(`-Wl,-rpath,${folder}`, runpath === undefined ? '-Wl,--disable-new-dtags' : '-Wl,--enable-new-dtags');
  }
  const libraries = needs.map((name) => path.join(made, name));
  const linking = ['-Wl,--no-as-needed', '-Wl,--unresolved-symbols=ignore-all', ...libraries, '-ldl'];
  const input = `#include <stdio.h>\n#include <dlfcn.h>\n${code}\n`;
  execFileSync('cc', ['-O1', '-w', '-o', target, ...options, '-xc', '-', '-xnone', ...linking], { input });
}

const answer = (name: string, value = '42') => `int ${name}(void) { return ${value}; }`;
const printing = (expression: string) => `int main(void) { printf("%d\\n", ${expression}); }`;

/** Builds an image with one `[[layer.files]]`; gives its root to `look`. */
async function build(lines: readonly string[], look?: (root: string) => Promise<void>): Promise<void> {
  const recipe = path.join(scratch, 'recipe');
  await mkdir(recipe, { recursive: true });
  await writeFile(
    path.join(recipe, 'image.toml'),
    `directories = ["/proc"]\n[[layer]]\n[[layer.files]]\nlibraries = true\n${lines.join('\n')}\n`,
  );
  const image = await store.build(recipe);
  await using lease = await store.lease(image.digest);
  await look?.(lease.rootfs);
}

const from = (name: string, to: string) => [`from = "${path.join(made, name)}"`, `to = "${to}"`];
/** Runs a program in an image, with /proc, from which the loader has $ORIGIN. */
const run = (root: string, program: string) => {
  const script = 'mount --rbind /proc "$0/proc" && exec chroot "$0" "$1"';
  return execFileSync('unshare', ['-r', '-m', 'sh', '-c', script, root, program], { encoding: 'utf8' });
};

/** The names of the shared libraries in the image but for those of the C library, with their folders. */
async function libraries(root: string): Promise<string[]> {
  const names = await filesIn(root);
  return names.filter((name) => /\.so(\.\d+)*$/.test(name) && !/^(?:usr\/)?lib\d*\//.test(name));
}

describe('the libraries of files that are collected', () => {
  it('are found among them where no loader would look, as in a Java runtime, and are there once', async () => {
    await compile('jre/lib/server/libjvm.so', { code: answer('jvm') });
    await compile('jre/lib/libjava.so', {
      code: 'int jvm(void); int java(void) { return jvm(); }',
      needs: ['jre/lib/server/libjvm.so'],
      runpath: '$ORIGIN',
    });
    await compile('jre/lib/libjli.so', {
      code: `int launch(void) {
        if (!dlopen("/opt/jre/lib/server/libjvm.so", RTLD_NOW | RTLD_GLOBAL)) return puts(dlerror());
        void *java = dlopen("/opt/jre/lib/libjava.so", RTLD_NOW);
        if (!java) return puts(dlerror());
        return ((int (*)(void))dlsym(java, "java"))();
      }`,
    });
    await compile('jre/bin/java', {
      code: `int launch(void); ${printing('launch()')}`,
      needs: ['jre/lib/libjli.so'],
      runpath: '$ORIGIN/../lib',
    });
    await symlink('server/libjvm.so', path.join(made, 'jre/lib/libalias.so'));
    await build(from('jre', '/opt/jre'), async (root) => {
      expect(run(root, '/opt/jre/bin/java')).toBe('42\n');
      expect(await libraries(root)).toEqual(
        ['libalias.so', 'libjava.so', 'libjli.so', 'server/libjvm.so'].map((name) => `opt/jre/lib/${name}`),
      );
    });
  });

  it('are found by a link among them', async () => {
    await compile('app/lib/libreal.so', { code: answer('real') });
    await compile('app/bin/app', {
      code: `int real(void); ${printing('real()')}`,
      needs: ['app/lib/libreal.so'],
      runpath: '$ORIGIN/../links',
    });
    await mkdir(path.join(made, 'app/links'));
    await symlink('../lib/libreal.so', path.join(made, 'app/links/libreal.so'));
    await build(from('app', '/srv'), async (root) => {
      expect(run(root, '/srv/bin/app')).toBe('42\n');
      expect(await libraries(root)).toEqual(['srv/lib/libreal.so', 'srv/links/libreal.so']);
    });
  });
});

describe('the libraries of a file that goes to another place', () => {
  const diagnostics = execFileSync('sh', ['-c', '$(ldd /bin/sh | grep -o "/[^ ]*ld-linux[^ ]*") --list-diagnostics'], {
    encoding: 'utf8',
  });
  /** What this machine's loader puts in the place of $LIB and $PLATFORM. */
  const [lib = '', platform = ''] = ['dl_dst_lib', 'dl_platform'].map(
    (name) => new RegExp(`^${name}="(.*)"$`, 'm').exec(diagnostics)?.[1] ?? '',
  );

  it.each<[string, string, string]>([
    ['$ORIGIN', '$ORIGIN/../own', 'own'],
    ['${ORIGIN}', '${ORIGIN}/../own', 'own'],
    ['$LIB', '$ORIGIN/../$LIB', lib],
    ['${LIB}', '${ORIGIN}/../${LIB}/own', `${lib}/own`],
    ['$PLATFORM', '$ORIGIN/../$PLATFORM', platform],
  ])('go to where its RUNPATH finds them there: %s', async (_token, runpath, folder) => {
    await compile(`app/${folder}/libown.so`, { code: answer('own') });
    await compile('app/bin/app', {
      code: `int own(void); ${printing('own()')}`,
      needs: [`app/${folder}/libown.so`],
      runpath,
    });
    // The loader of this machine agrees.
    expect(execFileSync(path.join(made, 'app/bin/app'), { encoding: 'utf8' })).toBe('42\n');
    await build(from('app/bin/app', '/srv/else/program'), async (root) => {
      expect(run(root, '/srv/else/program')).toBe('42\n');
      expect(await libraries(root)).toEqual([`srv/${folder}/libown.so`]);
    });
  });

  it('are found by an RPATH of what loads them, unless they are loaded by what has a RUNPATH', async () => {
    const program = path.join(made, 'app/bin/app');
    await compile('app/deep/libdeep.so', { code: answer('deep') });
    for (const runpath of [undefined, '$ORIGIN']) {
      await compile('app/own/libown.so', {
        ...{ code: 'int deep(void); int own(void) { return deep(); }', needs: ['app/deep/libdeep.so'] },
        ...(runpath === undefined ? {} : { runpath }),
      });
      await compile('app/bin/app', {
        ...{ code: `int own(void); ${printing('own()')}`, needs: ['app/own/libown.so'] },
        rpath: '$ORIGIN/../own:$ORIGIN/../deep',
      });
      if (runpath === undefined) {
        expect(execFileSync(program, { encoding: 'utf8' })).toBe('42\n');
        await build(from('app/bin/app', '/srv/bin/app'), async (root) => {
          expect(run(root, '/srv/bin/app')).toBe('42\n');
          expect(await libraries(root)).toEqual(['srv/deep/libdeep.so', 'srv/own/libown.so']);
        });
      } else {
        expect(() => execFileSync(program, { stdio: 'pipe' })).toThrow(/libdeep\.so: cannot open shared object file/);
        await expect(build(from('app/bin/app', '/srv/bin/app'))).rejects.toMatchObject({
          data: { library: 'libdeep.so' },
        });
      }
    }
  });

  it('are not replaced by those of the same name that were collected for their place', async () => {
    await compile('app/lib/libown.so', { code: answer('own', '1') });
    await compile('app/bin/app', {
      code: `int own(void); ${printing('own()')}`,
      needs: ['app/lib/libown.so'],
      runpath: '$ORIGIN/../lib',
    });
    await compile('other/libown.so', { code: answer('own', '2') });
    const second = ['[[layer.files]]', ...from('other/libown.so', '/srv/lib/libown.so')];
    await build([...from('app/bin/app', '/srv/bin/app'), ...second], async (root) => {
      expect(run(root, '/srv/bin/app')).toBe('2\n');
      const bytes = await readFile(path.join(root, 'srv/lib/libown.so'));
      expect(bytes.equals(await readFile(path.join(made, 'other/libown.so')))).toBe(true);
    });
  });
});

describe('a library that is nowhere', () => {
  it('is named with what needs it and all that was searched', async () => {
    await compile('app/lib/libgone.so', { code: answer('gone') });
    await compile('app/bin/app', {
      ...{ code: `int gone(void); ${printing('gone()')}`, needs: ['app/lib/libgone.so'] },
      runpath: '$ORIGIN/../lib:/nowhere:relative:$NOTHING/x',
    });
    await rm(path.join(made, 'app/lib/libgone.so'));
    // A file of that name, and no library.
    await writeFile(path.join(made, 'app/lib/libgone.so'), 'text');
    const searched = [`/srv/lib (here ${made}/app/lib)`, '/nowhere', "the loader's cache", '/lib', '/usr/lib'];
    const error = await build(from('app', '/srv')).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      kind: 'imageInvalid',
      message: expect.stringContaining(`${made}/app/bin/app needs the shared library libgone.so`) as unknown,
      data: {
        library: 'libgone.so',
        searched: expect.arrayContaining([...searched, 'the collected files']) as unknown,
      },
    });
    expect((error as { data: { searched: string[] } }).data.searched.slice(0, 5)).toEqual(searched);
    expect((error as Error).message).toContain(searched.join(', '));
  });
});
