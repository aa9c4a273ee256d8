// Which addresses a registry may send requests to.
import { describe, expect, it } from 'vitest';
import { isPublic } from '../../src/images/registry/addresses.ts';

describe('an address', () => {
  it.each(['8.8.8.8', '172.32.0.1', '100.63.255.255', '2606:4700::1', '::ffff:8.8.8.8', '64:ff9b::808:808'])(
    '%s is the internet’s',
    (address) => {
      expect(isPublic(address, [])).toBe(true);
    },
  );

  it.each([
    ...['0.0.0.0', '10.1.2.3', '100.64.0.1', '127.255.255.255', '169.254.169.254', '172.16.0.1', '192.168.1.1'],
    ...['224.0.0.1', '255.255.255.255', '::', '::1', 'fe80::1', 'fe80::1%eth0', 'fc00::1', 'fd00::1', 'ff02::1'],
    ...['::ffff:127.0.0.1', '::ffff:a9fe:a9fe', '::127.0.0.1', '64:ff9b::7f00:1', '2002:7f00:1::', 'localhost'],
  ])('%s is not', (address) => {
    expect(isPublic(address, [])).toBe(false);
  });

  it('of a network that the machine is in is not, whatever its range', () => {
    for (const [address, network] of [
      ['8.8.8.8', '8.8.8.1/24'],
      ['2606:4700::5', '2606:4700::1/64'],
    ] as const) {
      expect(isPublic(address, [])).toBe(true);
      expect(isPublic(address, [network])).toBe(false);
    }
  });
});
