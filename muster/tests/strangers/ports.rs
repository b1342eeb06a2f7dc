//! The ports that a process listens on, as the kernel knows them: none can be forgotten.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};

/// A port that takes what strangers send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Port {
    pub(crate) protocol: Protocol,
    pub(crate) address: SocketAddr,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Protocol {
    Udp,
    Tcp,
}

/// TCP sockets that listen, as /proc/net/tcp writes it.
const LISTENING: &str = "0A";

/// Every IPv4 port that the process listens on. UDP sockets of a client look like those of a server.
pub(crate) fn of(pid: u32) -> BTreeSet<Port> {
    let inodes = inodes(pid);
    let mut found = BTreeSet::new();
    for (file, protocol) in [("tcp", Protocol::Tcp), ("udp", Protocol::Udp)] {
        let table = std::fs::read_to_string(format!("/proc/{pid}/net/{file}")).unwrap_or_default();
        for line in table.lines().skip(1) {
            let fields: Vec<_> = line.split_whitespace().collect();
            let [_, local, _, state, _, _, _, _, _, inode, ..] = fields[..] else { continue };
            if (protocol == Protocol::Udp || state == LISTENING) && inodes.contains(inode) {
                found.insert(Port { protocol, address: address(local) });
            }
        }
    }
    found
}

/// The sockets that the process holds.
fn inodes(pid: u32) -> BTreeSet<String> {
    // A process that has ended holds none.
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let links = files.filter_map(|file| std::fs::read_link(file.path()).ok());
    let sockets = links.filter_map(|link| {
        let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
        Some(inode.to_owned())
    });
    sockets.collect()
}

/// Reads "0100007F:1F90", the address as the machine's integer. The wildcard is reached over loopback.
fn address(text: &str) -> SocketAddr {
    let (ip, port) = text.split_once(':').expect("address and port");
    let ip = u32::from_str_radix(ip, 16).expect("eight hex digits");
    let ip = Ipv4Addr::from(ip.to_ne_bytes());
    let ip = if ip.is_unspecified() { Ipv4Addr::LOCALHOST } else { ip };
    SocketAddr::from((ip, u16::from_str_radix(port, 16).expect("four hex digits")))
}
