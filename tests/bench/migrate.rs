//! Moving: how fast beside a plain copy, what TCP and TLS cost, and how long the guest stands still.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Instant;

use vmm::control::{MigrateDone, MigrateRequest};

use crate::Bench;
use crate::certificates::Certificates;
use crate::guest::{self, Does};
use crate::random;
use crate::row::{Row, Target};
use crate::running::{Over, Running};
use crate::sample::Sample;

const MIB: f64 = 1048576.0;
const RATE: f64 = 0.7;
const RATE_ROUNDS: usize = 8;
/// Below the largest guest image.
const FULL_MIB: u32 = 1000;
const TLS_MIB: u32 = 256;
const TLS_ROUNDS: usize = 8;
/// What a migration sends in one system call at the most.
const WRITE_BYTES: usize = 1 << 20;

/// Twice as many vCPUs as the host has CPUs, a lock each of them wants all the time, and memory that
/// changes.
const STRESS_MOVES: usize = 50;
const STRESS: &str = "lock=pv-ticket-head think=0 fill=16M dirty=1 seconds=1000";

/// The rate, the price of TLS, the downtime.
pub(crate) fn measure(bench: &Bench, show: &mut dyn FnMut(Row)) -> io::Result<()> {
    rate(bench, show)?;
    tls(bench, show)?;
    downtime(bench, show)
}

/// A machine whose guest sleeps, so that its vCPU takes no time from the plain copy: what is left
/// is a copy of its memory.
fn sleeping(bench: &Bench, mib: u32) -> io::Result<Running> {
    let guest = bench.disk.file("sleep.elf");
    guest::write_with_data(&guest, Does::Sleep, mib)?;
    let memory = format!("{}M", mib + 64);
    let mut words = ["run", "--memory", &memory].map(str::to_owned).to_vec();
    words.push(guest.display().to_string());
    let running = Running::until_first_byte(bench, &words)?;
    std::fs::remove_file(&guest)?;
    Ok(running)
}

/// One machine goes from process to process, with plain copies in turns.
fn rate(bench: &Bench, show: &mut dyn FnMut(Row)) -> io::Result<()> {
    let content = random::bytes((FULL_MIB as usize) << 20);
    let mut machine = sleeping(bench, FULL_MIB)?;
    let (mut plain, mut ours) = <(Sample, Sample)>::default();
    for round in 0..bench.rounds(RATE_ROUNDS) {
        if round % 2 == 0 {
            plain.push(copy(UnixStream::pair()?, &content)?);
        }
        let (moved, done) = machine.move_over(bench, Over::Unix)?;
        machine = moved;
        ours.push(mib_a_second(&done));
        if round % 2 != 0 {
            plain.push(copy(UnixStream::pair()?, &content)?);
        }
    }
    show(
        Row::alone("migrate: rate, Unix socket".to_owned(), "MiB/s", ours)
            .beside("plain copy", plain)
            .target(Target::RatioAtLeast(RATE)),
    );
    Ok(())
}

/// Over TCP with and without TLS, and a plain copy over TCP, in turns.
fn tls(bench: &Bench, show: &mut dyn FnMut(Row)) -> io::Result<()> {
    let certificates = Certificates::write(bench.guests.folder())?;
    let content = random::bytes((TLS_MIB as usize) << 20);
    let mut machine = sleeping(bench, TLS_MIB)?;
    let (mut plain, mut tcp, mut tls) = <(Sample, Sample, Sample)>::default();
    for _ in 0..bench.rounds(TLS_ROUNDS) {
        plain.push(copy(tcp_pair()?, &content)?);
        for (over, sample) in [(Over::Tcp, &mut tcp), (Over::Tls(&certificates), &mut tls)] {
            let (moved, done) = machine.move_over(bench, over)?;
            machine = moved;
            sample.push(mib_a_second(&done));
        }
    }
    let name = "migrate: rate, TCP on this host".to_owned();
    show(Row::alone(name, "MiB/s", tcp.clone()).beside("plain copy", plain));
    let name = "migrate: rate, TLS on this host".to_owned();
    show(Row::alone(name, "MiB/s", tls).beside("TCP", tcp));
    Ok(())
}

fn mib_a_second(done: &MigrateDone) -> f64 {
    done.bytes as f64 / MIB / done.seconds
}

fn tcp_pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let source = TcpStream::connect(listener.local_addr()?)?;
    source.set_nodelay(true)?;
    Ok((source, listener.accept()?.0))
}

/// MiB a second from memory to memory through a pair of sockets: one thread writes, one reads.
fn copy<S: Read + Write + Send>(
    (mut source, mut target): (S, S),
    content: &[u8],
) -> io::Result<f64> {
    let start = Instant::now();
    thread::scope(move |scope| {
        let reader = scope.spawn(move || {
            // Its pages come when they are first written, as those of a machine that arrives.
            let mut memory = vec![0; content.len()];
            for block in memory.chunks_mut(WRITE_BYTES) {
                target.read_exact(block)?;
            }
            Ok(memory)
        });
        for block in content.chunks(WRITE_BYTES) {
            source.write_all(block)?;
        }
        let copied = reader.join();
        let seconds = start.elapsed().as_secs_f64();
        let copied = copied.unwrap_or_else(|_| Err(io::Error::other("the reader died")));
        if copied? == content {
            Ok(content.len() as f64 / MIB / seconds)
        } else {
            Err(io::Error::other("the copy differs"))
        }
    })
}

fn downtime(bench: &Bench, show: &mut dyn FnMut(Row)) -> io::Result<()> {
    let vcpus = 2 * thread::available_parallelism()?.get();
    let options = ["--vcpus", &vcpus.to_string()];
    let mut machine = Running::payload(bench, &options, STRESS)?;
    let mut ms = Sample::default();
    for _ in 0..bench.rounds(STRESS_MOVES) {
        let (moved, done) = machine.move_over(bench, Over::Unix)?;
        machine = moved;
        ms.push(done.downtime_ns as f64 / 1e6);
    }
    for percent in [50, 99] {
        let name = format!("migrate: downtime p{percent}, {vcpus} vCPUs");
        show(
            Row::alone(name, "ms", Sample::of(ms.percentile(percent)))
                .target(Target::AtMost(MigrateRequest::DOWNTIME_MS as f64)),
        );
    }
    Ok(())
}
