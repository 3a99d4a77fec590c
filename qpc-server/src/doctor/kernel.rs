//! What the kernel grants: buffers of UDP sockets, open files.

use std::{fs, net::Ipv4Addr};

use rustix::process::{Resource, getrlimit};
use socket2::{Domain, Protocol, Socket, Type};

use super::finding::{Finding, bytes};

const BUFFERS: &str = "udp-buffers";
const FILES: &str = "open-files";

/// What `config/99-qpc.conf` allows, in bytes.
const RECOMMENDED: usize = 26_214_400;
/// Files that are enough for any number of users (`docs/sizing.md`).
const FILES_NEEDED: u64 = 1_024;

/// What a socket is given when it asks for the largest buffers that could be wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Granted {
    pub(super) receive: usize,
    pub(super) send: usize,
    /// Packets that found a full buffer since the machine started, of all programs.
    pub(super) dropped: Option<u64>,
}

/// Asks the kernel. A socket says more than `net.core.rmem_max`, which a container does not show.
pub(super) fn granted(wanted: usize) -> Option<Granted> {
    let asked = wanted.max(RECOMMENDED);
    let socket =
        Socket::new(Domain::for_address((Ipv4Addr::LOCALHOST, 0).into()), Type::DGRAM, Some(Protocol::UDP)).ok()?;
    socket.set_recv_buffer_size(asked).ok()?;
    socket.set_send_buffer_size(asked).ok()?;
    // Linux says twice what it grants.
    let (receive, send) = (socket.recv_buffer_size().ok()? / 2, socket.send_buffer_size().ok()? / 2);
    let dropped = fs::read_to_string("/proc/net/snmp").ok().and_then(|text| drops(&text));
    Some(Granted { receive, send, dropped })
}

/// `RcvbufErrors` of `/proc/net/snmp`: a line of names, then one of values.
fn drops(text: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, values) = (lines.next()?, lines.next()?);
    let at = names.split(' ').position(|name| name == "RcvbufErrors")?;
    values.split(' ').nth(at)?.parse().ok()
}

pub(super) fn buffers(granted: Option<Granted>, wanted: usize) -> Finding {
    let Some(Granted { receive, send, dropped }) = granted else {
        return Finding::warning(BUFFERS, "the kernel gives no UDP socket", "look at what confines this process");
    };
    let size = |count: usize| bytes(u64::try_from(count).unwrap_or(u64::MAX));
    let shown = format!("the kernel grants {} for receiving and {} for sending", size(receive), size(send));
    let least = receive.min(send);
    if least >= RECOMMENDED {
        return Finding::ok(BUFFERS, shown);
    }
    if least >= wanted {
        return Finding::ok(BUFFERS, format!("{shown}, enough for transport.udp_buffer"));
    }
    let drops = match dropped {
        Some(count) if count > 0 => format!("; {count} packets were dropped for it since the machine started"),
        _ => String::new(),
    };
    Finding::warning(
        BUFFERS,
        format!("{shown}, and transport.udp_buffer wants {}: packets are lost in bursts{drops}", size(wanted)),
        "put config/99-qpc.conf into /etc/sysctl.d, run `sysctl --system`, and restart the server",
    )
}

/// How many files a process may have open, and which process that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Files {
    pub(super) most: Option<u64>,
    pub(super) of_server: bool,
}

/// The running server's limit where it can be read, else that of this process.
pub(super) fn files(server: Option<u32>) -> Files {
    let of_server = server.and_then(|pid| fs::read_to_string(format!("/proc/{pid}/limits")).ok());
    match of_server.as_deref().and_then(most_files) {
        Some(most) => Files { most, of_server: true },
        None => Files { most: getrlimit(Resource::Nofile).current, of_server: false },
    }
}

/// The soft limit in `/proc/PID/limits`; `Some(None)` is none.
fn most_files(text: &str) -> Option<Option<u64>> {
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(None),
        number => number.parse().ok().map(Some),
    }
}

pub(super) fn open_files(files: &Files) -> Finding {
    let whose = if files.of_server { "the server" } else { "a server started from here" };
    match files.most {
        None => Finding::ok(FILES, format!("{whose} may open any number of files")),
        Some(most) if most >= FILES_NEEDED => Finding::ok(FILES, format!("{whose} may open {most} files")),
        Some(most) => Finding::bad(
            FILES,
            format!("{whose} may open {most} files, and may need {FILES_NEEDED}"),
            "set LimitNOFILE=65536 in the unit, or `ulimit -n 65536` before it starts",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Mark, *};

    #[test]
    fn small_buffers_are_said_with_what_was_lost() {
        let granted = |each| Some(Granted { receive: each, send: RECOMMENDED, dropped: Some(40_537) });
        let small = buffers(granted(212_992), 4_194_304);
        assert_eq!(small.mark, Mark::Warning);
        assert!(small.found.contains("208 KiB") && small.found.contains("40537 packets"), "{}", small.found);
        assert!(small.remedy.unwrap().contains("config/99-qpc.conf"));
        let enough = buffers(granted(4_194_304), 4_194_304);
        assert_eq!((enough.mark, enough.found.contains("enough")), (Mark::Ok, true));
        assert_eq!(buffers(granted(RECOMMENDED), 4_194_304).mark, Mark::Ok);
        assert_eq!(buffers(None, 1).mark, Mark::Warning);
    }

    #[test]
    fn what_the_kernel_writes_is_read() {
        let snmp = "Ip: a b\nIp: 1 2\nUdp: InDatagrams NoPorts RcvbufErrors SndbufErrors\nUdp: 10 20 30 40\n";
        assert_eq!((drops(snmp), drops("Udp: A\nUdp: 1\n")), (Some(30), None));
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max open files            256                  65536                files     \n";
        assert_eq!(most_files(limits), Some(Some(256)));
        assert_eq!(most_files("Max open files            unlimited            unlimited            files"), Some(None));
        assert!(granted(4096).is_some());
    }

    #[test]
    fn few_files_are_bad() {
        let judged = |most| open_files(&Files { most, of_server: true }).mark;
        assert_eq!([Some(1_023), Some(1_024), None].map(judged), [Mark::Bad, Mark::Ok, Mark::Ok]);
    }
}
