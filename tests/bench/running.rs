//! A machine that runs while it is measured from outside.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use vmm::control::client::{Client, Error};
use vmm::control::{MigrateDone, MigrateRequest, PayloadState};

use crate::Bench;
use crate::certificates::Certificates;
use crate::process::{self, Limit};

/// A machine that is not there by then never will be.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(1);
/// What `vmm receive` says before the address.
const WAITING: &str = "vmm: waiting for a machine on ";

/// A `vmm` with an API; killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    limit: Option<Limit>,
    api: PathBuf,
    /// Kept so that what it says has somewhere to go.
    _stderr: Option<BufReader<ChildStderr>>,
}

/// What a migration goes over.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Over<'a> {
    /// A Unix socket.
    Unix,
    /// TCP to this host, open to all on it.
    Tcp,
    /// The same with TLS.
    Tls(&'a Certificates),
}

fn other(error: impl fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}

impl Running {
    /// Starts `vmm` with `words` and an API socket.
    fn start(bench: &Bench, words: &[String]) -> io::Result<Self> {
        Self::spawn(bench, words, Stdio::null())
    }

    /// Starts a machine with the bundled payload; returns when it is in its workload.
    pub(crate) fn payload(bench: &Bench, options: &[&str], payload: &str) -> io::Result<Self> {
        let mut words = vec!["run".to_owned()];
        words.extend(options.iter().map(|&word| word.to_owned()));
        words.extend(["--serial", "null", "--"].map(str::to_owned));
        words.extend(payload.split(' ').map(str::to_owned));
        let running = Self::start(bench, &words)?;
        running.wait_for_workload()?;
        Ok(running)
    }

    /// Starts a machine with `words`; returns when its guest has sent a byte.
    pub(crate) fn until_first_byte(bench: &Bench, words: &[String]) -> io::Result<Self> {
        // A file takes every byte at once, so that none has still to be sent when it is saved.
        let serial = bench.disk.file("serial");
        File::create(&serial)?;
        let mut words = words.to_vec();
        words.extend(["--serial".to_owned(), serial.display().to_string()]);
        let mut running = Self::start(bench, &words)?;
        let start = Instant::now();
        while std::fs::metadata(&serial)?.len() == 0 {
            if start.elapsed() > PATIENCE || running.child.try_wait()?.is_some() {
                return Err(other("the guest does not start"));
            }
            thread::sleep(POLL);
        }
        Ok(running)
    }

    fn spawn(bench: &Bench, words: &[String], stderr: Stdio) -> io::Result<Self> {
        let api = bench.guests.socket();
        let mut command = vec![bench.vmm.display().to_string()];
        let split = words.iter().position(|word| word == "--");
        let (options, rest) = words.split_at(split.unwrap_or(words.len()));
        command.extend_from_slice(options);
        command.extend(["--api".to_owned(), api.display().to_string()]);
        command.extend_from_slice(rest);
        let child = process::start(&command, Stdio::null(), stderr)?;
        Ok(Self {
            limit: Some(Limit::on(&child)),
            child,
            api,
            _stderr: None,
        })
    }

    /// Its process.
    pub(crate) fn process(&self) -> &Child {
        &self.child
    }

    /// A connection to its API.
    pub(crate) fn client(&self) -> io::Result<Client> {
        let start = Instant::now();
        loop {
            match Client::connect(&self.api) {
                Err(Error::NoSocket(_) | Error::NobodyListens(_)) if start.elapsed() < PATIENCE => {
                    thread::sleep(POLL);
                }
                connected => return connected.map_err(other),
            }
        }
    }

    fn wait_for_workload(&self) -> io::Result<()> {
        let mut client = self.client()?;
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let status = client.status().map_err(other)?;
            let works = |payload: &vmm::control::PayloadStatus| {
                payload.state == PayloadState::Running && payload.acquisitions > 0
            };
            if status.payload.as_ref().is_some_and(works) {
                return Ok(());
            }
            thread::sleep(POLL);
        }
        Err(other("the payload never came to its workload"))
    }

    /// Moves the machine to another process, in which it runs when this returns.
    pub(crate) fn move_over(
        self,
        bench: &Bench,
        over: Over<'_>,
    ) -> io::Result<(Self, MigrateDone)> {
        let (target, address) = Self::receive(bench, over)?;
        let mut request = MigrateRequest::new(address);
        match over {
            Over::Unix => {}
            Over::Tcp => request.insecure = true,
            Over::Tls(files) => {
                request.tls_cert = Some(files.cert.clone());
                request.tls_key = Some(files.key.clone());
                request.tls_ca = Some(files.ca.clone());
            }
        }
        let done = self.client()?.migrate(&request).map_err(other)?;
        Ok((target, done))
    }

    /// A process that waits for a machine, and where it does.
    fn receive(bench: &Bench, over: Over<'_>) -> io::Result<(Self, String)> {
        let mut words = vec!["receive".to_owned()];
        match over {
            Over::Unix => words.push(format!("unix:{}", bench.guests.socket().display())),
            Over::Tcp | Over::Tls(_) => words.push("tcp:127.0.0.1:0".to_owned()),
        }
        match over {
            Over::Unix => {}
            Over::Tcp => words.push("--insecure".to_owned()),
            Over::Tls(files) => {
                for (option, file) in [
                    ("--tls-cert", &files.cert),
                    ("--tls-key", &files.key),
                    ("--tls-ca", &files.ca),
                ] {
                    words.extend([option.to_owned(), file.display().to_string()]);
                }
            }
        }
        words.extend(["--serial", "null"].map(str::to_owned));
        let mut target = Self::spawn(bench, &words, Stdio::piped())?;
        let stderr = target.child.stderr.take();
        let mut stderr = BufReader::new(stderr.ok_or_else(|| other("no pipe"))?);
        let mut line = String::new();
        stderr.read_line(&mut line)?;
        target._stderr = Some(stderr);
        let address = line.trim_end().strip_prefix(WAITING);
        let address = address.ok_or_else(|| other(format!("vmm receive: {line}")))?;
        Ok((target, address.to_owned()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.limit.take());
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
