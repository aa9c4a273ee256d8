// Reading the cgroup hierarchies of a machine, and the place that this host takes in them.
import { describe, expect, it } from 'vitest';
import {
  cgroupResources,
  containerCgroups,
  containerFolders,
  placeCgroups,
} from '../../../src/container/cgroup/placement.ts';
import { parseCgroupLayout, type CgroupLayout } from '../../../src/container/cgroup/cgroup.ts';
import { defaultLimits } from '../../../src/container/limits.ts';
import type { IdMapping } from '../../../src/container/oci/id-mapping.ts';

const privileged: IdMapping = { kind: 'privileged', ids: { first: 1000, count: 65536 }, ranges: 0 };
const own: IdMapping = { kind: 'own', reason: 'none granted' };

const layoutOf = (mounts: string[], cgroup: string[], controllers = ''): CgroupLayout =>
  parseCgroupLayout(mounts.join('\n'), cgroup.join('\n'), () => controllers);

describe('the layout', () => {
  it('is v2 where only that is mounted', () => {
    const layout = layoutOf(
      ['25 1 0:22 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate'],
      ['0::/user.slice/user-1000.slice/session.scope'],
      'cpuset cpu io memory pids\n',
    );
    expect(layout).toEqual({
      kind: 'v2',
      hierarchies: [
        {
          version: 2,
          mountPoint: '/sys/fs/cgroup',
          controllers: ['cpuset', 'cpu', 'io', 'memory', 'pids'],
          own: '/user.slice/user-1000.slice/session.scope',
        },
      ],
    });
  });

  it('is hybrid where controllers are in v1 and v2 stands beside; mounts of one hierarchy count once', () => {
    const layout = layoutOf(
      [
        '31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755',
        '32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:4 - cgroup cgroup rw,cpu,cpuacct',
        '33 31 0:29 / /mnt/again rw,relatime - cgroup cgroup rw,cpu,cpuacct',
        '34 31 0:30 /docker/abc /sys/fs/cgroup/mem\\040ory rw - cgroup cgroup rw,memory',
        '35 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw',
      ],
      ['4:memory:/docker/abc/inner', '1:cpu,cpuacct:/', '0::/'],
    );
    expect(layout.kind).toBe('hybrid');
    expect(layout.hierarchies.map(({ mountPoint, own: cgroup }) => `${mountPoint} ${cgroup}`)).toEqual([
      '/sys/fs/cgroup/cpu,cpuacct /',
      '/sys/fs/cgroup/mem ory /inner',
      '/sys/fs/cgroup/unified /',
    ]);
  });

  it('is none where nothing is mounted', () => {
    expect(layoutOf(['22 1 0:21 / /proc rw - proc proc rw'], [''])).toEqual({ kind: 'none', hierarchies: [] });
  });
});

describe('the place', () => {
  const here: CgroupLayout = {
    kind: 'hybrid',
    hierarchies: [
      { version: 1, mountPoint: '/sys/fs/cgroup/memory', controllers: ['memory'], own: '/' },
      { version: 1, mountPoint: '/sys/fs/cgroup/freezer', controllers: ['freezer'], own: '/' },
    ],
  };

  it('is the runtime’s to fill as root, in every hierarchy', () => {
    const place = placeCgroups(here, privileged, 'runc', 'babelhost-x');
    expect(place.maker).toBe('runtime');
    expect(place.hostFolders).toEqual(['/sys/fs/cgroup/memory/babelhost-x', '/sys/fs/cgroup/freezer/babelhost-x']);
    expect(containerFolders(place, 'c')[0]).toBe('/sys/fs/cgroup/memory/babelhost-x/c');
    expect(containerCgroups(place, 'c')).toEqual({
      memory: { version: 1, folder: '/sys/fs/cgroup/memory/babelhost-x/c' },
    });
    const { memoryBytes } = defaultLimits;
    // Only what a mounted controller can enforce.
    expect(cgroupResources(place, defaultLimits)).toEqual({ memory: { limit: memoryBytes, swap: memoryBytes } });
  });

  it('is made by babelhost for crun, where a controller limits', () => {
    const place = placeCgroups(here, privileged, 'crun', 'babelhost-x');
    expect(place).toMatchObject({ maker: 'joined', hostFolders: ['/sys/fs/cgroup/memory/babelhost-x'] });
  });

  it('is nowhere for an ordinary user without a delegated cgroup, or where cgroups are read-only', () => {
    expect(placeCgroups(here, own, 'runc', 'x')).toMatchObject({
      maker: 'none',
      reason: 'cgroup v1 cannot be delegated: it takes root with CAP_SYS_ADMIN',
    });
    const root: CgroupLayout = {
      kind: 'v2',
      hierarchies: [{ version: 2, mountPoint: '/missing', controllers: ['memory'], own: '/a/b' }],
    };
    expect(placeCgroups(root, own, 'runc', 'x').reason).toMatch(/^\/missing\/a is not delegated to this user/);
    expect(placeCgroups(root, privileged, 'runc', 'x').reason).toBe('/missing is read-only');
    expect(placeCgroups({ kind: 'none', hierarchies: [] }, privileged, 'runc', 'x').maker).toBe('none');
  });
});
