//! Pausing: from the request over the API to its answer, when all vCPUs stand still.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use vmm::control::client::{Client, Error};

use crate::Bench;
use crate::row::Row;
use crate::running::Running;
use crate::sample::Sample;

const VCPUS: [u32; 3] = [1, 16, 256];
const ROUNDS: usize = 500;
/// How long the guest runs between two pauses.
const RUN: Duration = Duration::from_millis(3);

/// Pauses a machine under stress again and again, with a request that pauses nothing in turns.
pub(crate) fn measure(bench: &Bench, show: &mut dyn FnMut(Row)) -> io::Result<()> {
    for vcpus in VCPUS {
        let options = ["--vcpus", &vcpus.to_string(), "--halt", "kvm"];
        let machine = Running::payload(bench, &options, "seconds=1000")?;
        let mut client = machine.client()?;
        let (mut pause, mut status) = <(Sample, Sample)>::default();
        for _ in 0..bench.rounds(ROUNDS) {
            thread::sleep(RUN);
            status.push(time(&mut client, |client| client.status().map(drop))?);
            thread::sleep(RUN);
            pause.push(time(&mut client, Client::pause)?);
            client.resume().map_err(io::Error::other)?;
        }
        for percent in [50, 99] {
            let of = |sample: &Sample| Sample::of(sample.percentile(percent));
            let plural = if vcpus == 1 { "" } else { "s" };
            let name = format!("pause: p{percent}, {vcpus} vCPU{plural}");
            show(Row::alone(name, "us", of(&pause)).beside("status", of(&status)));
        }
    }
    Ok(())
}

/// How long a request takes in µs.
fn time(
    client: &mut Client,
    request: impl FnOnce(&mut Client) -> Result<(), Error>,
) -> io::Result<f64> {
    let start = Instant::now();
    request(client).map_err(io::Error::other)?;
    Ok(start.elapsed().as_secs_f64() * 1e6)
}
