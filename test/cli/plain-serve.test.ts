// The call that is read without commander must mean what it means to commander, and every other call is commander's.
import { describe, expect, it } from 'vitest';
import { readPlainServe } from '../../src/cli/plain-serve.ts';

const nothing = { json: false, limits: {} };

describe('a plain call of serve', () => {
  it.each([
    [['serve'], nothing],
    [['serve', '--stdio'], nothing],
    [['serve', '--stdio', '--root', '/a b'], { ...nothing, root: '/a b' }],
    [['serve', '--root', 'x', '--stdio', '--runtime', 'crun'], { ...nothing, root: 'x', runtime: 'crun' }],
    [['serve', '--log-level', 'error'], { ...nothing, logLevel: 'error' }],
    [['serve', '--root', 'one', '--root', 'two'], { ...nothing, root: 'two' }],
  ])('%j is read', (args, options) => {
    expect(readPlainServe(args, { HOME: '/root' })).toEqual(options);
  });

  it.each([
    [[]],
    [['--root', 'x', 'serve']],
    [['parse', '--root', 'x']],
    [['serve', '--listen', 'unix:x']],
    [['serve', '--root=x']],
    [['serve', '--root']],
    [['serve', '--root', '']],
    [['serve', '--root', '--stdio']],
    [['serve', '--log-level', 'loud']],
    [['serve', '--json']],
    [['serve', '--help']],
    [['serve', '-h']],
    [['serve', 'stdio']],
    [['serve', '--warm', 'python']],
    [['serve', '--toString', 'x']],
  ])('%j is left to commander', (args) => {
    expect(readPlainServe(args, {})).toBeUndefined();
  });

  it.each(['BABELHOST_ROOT', 'BABELHOST_STORE_ACCESS', 'BABELHOST_LOG_LEVEL', 'BABELHOST_MAX_DRIVER_INSTANCES'])(
    'is left to commander where %s is set',
    (name) => {
      expect(readPlainServe(['serve'], { [name]: '' })).toBeUndefined();
    },
  );
});
