// Which IP addresses are public, and which belong to this machine or to a private network.
import { BlockList, isIP } from 'node:net';
import { networkInterfaces } from 'node:os';

/** IPv4 networks that are not public: IANA's special-purpose registry, multicast and the reserved rest. */
const specialIpv4: readonly (readonly [string, number])[] = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
];

/** The same of IPv6's unicast addresses; Teredo's and 6to4's contain IPv4 addresses. */
const specialIpv6: readonly (readonly [string, number])[] = [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
];

/** NAT64 (RFC 6052): how networks without IPv4 reach IPv4 hosts. */
const nat64 = '64:ff9b::';

const special = new BlockList();
for (const [network, prefix] of specialIpv4) {
  // BlockList applies IPv4 rules to ::ffff:1.2.3.4 too.
  special.addSubnet(network, prefix, 'ipv4');
  special.addSubnet(`${nat64}${network}`, 96 + prefix, 'ipv6');
}
for (const [network, prefix] of specialIpv6) special.addSubnet(network, prefix, 'ipv6');

const unicastIpv6 = new BlockList();
unicastIpv6.addSubnet('2000::', 3, 'ipv6');
unicastIpv6.addSubnet(nat64, 96, 'ipv6');
unicastIpv6.addSubnet('::ffff:0:0', 96, 'ipv6');

/**
 * Whether an address is public, and in no network that this machine is in.
 * @param networks - those that it is in, as `1.2.3.4/24`.
 */
export function isPublic(address: string, networks: readonly string[] = ownNetworks()): boolean {
  const version = isIP(address);
  if (version === 0) return false;
  const family = version === 4 ? 'ipv4' : 'ipv6';
  if (version === 6 && !unicastIpv6.check(address, family)) return false;
  if (special.check(address, family)) return false;
  const own = new BlockList();
  for (const network of networks) {
    const [base = '', prefix] = network.split('/');
    own.addSubnet(base, Number(prefix), isIP(base) === 4 ? 'ipv4' : 'ipv6');
  }
  return !own.check(address, family);
}

function ownNetworks(): string[] {
  return Object.values(networkInterfaces())
    .flat()
    .flatMap((network) => network?.cidr ?? []);
}
