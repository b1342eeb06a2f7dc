//! The platform's TCP ports: free, held by Muster, or held by somebody else.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use super::finding::Finding;
use super::services::Ready;

/// One port. What holds it is Muster when its admin port answers as Muster's do.
pub(super) fn examine(name: &str, address: SocketAddr, is_running: bool, ready: &Ready) -> Finding {
    let check = format!("port {}", address.port());
    match TcpListener::bind(address) {
        Ok(_) if is_running => {
            let found = format!("nobody listens for {name} at {address}, although the platform runs");
            Finding::warn(check, found, "name the platform's own addresses with --listen and its like")
        }
        Ok(_) => Finding::ok(check, format!("free for {name}")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            let holder = holder(address.port()).unwrap_or_else(|| "an unknown process".to_owned());
            if *ready == Ready::Away {
                let found = format!("{address} ({name}) is held by {holder}, which does not answer as Muster");
                Finding::fail(check, found, "stop it, or choose another port with --listen and its like")
            } else {
                Finding::ok(check, format!("{name}, {holder}"))
            }
        }
        Err(error) => {
            let found = format!("{address} ({name}) cannot be bound: {error}");
            Finding::fail(check, found, "choose an address of this machine and a port above 1023")
        }
    }
}

/// The process that listens on a TCP port, as far as the system tells this user.
fn holder(port: u16) -> Option<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| std::fs::read_to_string(path).unwrap_or_default());
    let inode = tables.iter().find_map(|table| listener(table, port))?;
    let wanted = format!("socket:[{inode}]");
    let processes = std::fs::read_dir("/proc").ok()?.filter_map(Result::ok).map(|entry| entry.path());
    processes.filter(|process| holds(process, &wanted)).find_map(|process| {
        let pid: u32 = process.file_name()?.to_str()?.parse().ok()?;
        let name = std::fs::read_to_string(process.join("comm")).ok()?;
        Some(format!("{} (process {pid})", name.trim()))
    })
}

fn holds(process: &Path, wanted: &str) -> bool {
    let Ok(files) = std::fs::read_dir(process.join("fd")) else { return false };
    files.filter_map(Result::ok).any(|file| std::fs::read_link(file.path()).is_ok_and(|to| to.as_os_str() == wanted))
}

/// Inode of the socket that listens on a port, by the kernel's table.
fn listener(table: &str, port: u16) -> Option<&str> {
    const LISTENS: &str = "0A";
    table.lines().skip(1).find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let of = u16::from_str_radix(words.get(1)?.rsplit(':').next()?, 16).ok()?;
        (of == port && words.get(3) == Some(&LISTENS)).then(|| words.get(9).copied())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Status;

    #[test]
    fn a_port_that_a_stranger_holds_is_a_failure_that_names_it() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = taken.local_addr().expect("bound");
        let finding = examine("metagame", address, false, &Ready::Away);
        assert_eq!(finding.status, Status::Fail);
        assert!(finding.found.contains(&std::process::id().to_string()), "{finding:?}");
        assert_eq!(examine("metagame", address, true, &Ready::Yes).status, Status::Ok);
        drop(taken);
        assert_eq!(examine("metagame", address, false, &Ready::Away).status, Status::Ok);
        assert_eq!(examine("metagame", address, true, &Ready::Away).status, Status::Warn);
    }
}
