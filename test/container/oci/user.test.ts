// The user of an image: looked up in the image's files, which are a stranger's.
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseIdMap, parseSubordinateIds } from '../../../src/container/oci/id-mapping.ts';
import { resolveUser } from '../../../src/container/oci/user.ts';

let rootfs: string;

beforeEach(async () => {
  rootfs = await mkdtemp(path.join(tmpdir(), 'babelhost-test-user-'));
  await mkdir(path.join(rootfs, 'etc'));
  await writeFile(
    path.join(rootfs, 'etc/passwd'),
    'root:x:0:0:root:/root:/bin/sh\n\nbroken\napp:x:1000:1001::/home/app:/bin/sh\nlarge:x:70000:0::/:/\n',
  );
  await writeFile(path.join(rootfs, 'etc/group'), 'root:x:0:\nstaff:x:50:app,other\ndocker:x:60:app\napp:x:1001:app\n');
});

afterEach(async () => {
  await rm(rootfs, { recursive: true });
});

const resolve = (user: string, size = 65536) => resolveUser(rootfs, user, size);

describe('a user', () => {
  it.each([
    ['', 0, 0, []],
    ['0', 0, 0, []],
    ['1000', 1000, 1001, [50, 60]],
    ['1000:7', 1000, 7, []],
    ['4242', 4242, 0, []],
    ['app', 1000, 1001, [50, 60]],
    ['app:staff', 1000, 50, []],
    ['app:9', 1000, 9, []],
  ])('%j', async (user, uid, gid, additionalGids) => {
    expect(await resolve(user)).toEqual({ uid, gid, additionalGids });
  });

  it.each([
    ['nobody', /has no user 'nobody'/],
    ['app:wheel', /has no group 'wheel'/],
    ['app:', /not of the form user:group/],
    [':app', /not of the form user:group/],
    ['a:b:c', /not of the form user:group/],
    ['70000', /ids below 65536/],
    ['large', /ids below 65536/],
    ['1000:99999999999', /has no group/],
    ['-1', /has no user '-1'/],
  ])('%j is refused', async (user, message) => {
    await expect(resolve(user)).rejects.toMatchObject({
      kind: 'containerFailed',
      message: expect.stringMatching(message) as string,
    });
  });

  it('needs more than one id to be other than root', async () => {
    await expect(resolve('1000', 1)).rejects.toThrow(/\/etc\/subuid/);
  });

  it('is not looked up through links, in FIFOs, or in files without end', async () => {
    const passwd = path.join(rootfs, 'etc/passwd');
    await rm(passwd);
    await symlink('/etc/passwd', passwd);
    await expect(resolve('app')).rejects.toThrow(/\/etc\/passwd is a symbolic link/);
    await rm(passwd);
    execFileSync('mkfifo', [passwd]);
    await expect(resolve('app')).rejects.toThrow(/\/etc\/passwd is not a file/);
    await rm(passwd);
    await writeFile(passwd, Buffer.alloc(2 * 1024 * 1024));
    await expect(resolve('app')).rejects.toThrow(/has more than 1048576 bytes/);
    await rm(path.join(rootfs, 'etc'), { recursive: true });
    await expect(resolve('app')).rejects.toThrow(/has no user 'app'/);
    expect(await resolve('12')).toEqual({ uid: 12, gid: 0, additionalGids: [] });
    await symlink('/etc', path.join(rootfs, 'etc'));
    await expect(resolve('root')).rejects.toThrow(/\/etc is not a folder/);
  });
});

describe('ranges of ids', () => {
  it('are the largest that subuid grants to the name or the id', () => {
    const text = '# none\nother:1:9\nme:100000:65536\n1000:300000:100000\nme:x:5\nme:5\n';
    expect(parseSubordinateIds(text, 'me', 1000)).toEqual({ first: 300000, count: 100000 });
    expect(parseSubordinateIds(text, 'me', 7)).toEqual({ first: 100000, count: 65536 });
    expect(parseSubordinateIds(text, 'nobody', 7)).toBeUndefined();
  });

  it('are those of the user namespace we are in', () => {
    expect(parseIdMap('         0          0 4294967295\n')).toEqual([{ first: 0, count: 4294967295 }]);
    expect(parseIdMap('0 1000 1\n1 100000 65536\n')).toEqual([
      { first: 0, count: 1 },
      { first: 1, count: 65536 },
    ]);
  });
});
