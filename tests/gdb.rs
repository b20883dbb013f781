//! A debugger on a `vmm`: the real gdb in batch mode, and bare packets where gdb would say more
//! than a test wants to.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::command::{Finished, Vmm, skip, wait};

/// A debugger that hears nothing for so long gives up.
const PATIENCE: Duration = Duration::from_secs(60);
/// gdb waits so long for an answer, in seconds.
const GDB_PATIENCE: u32 = 60;

/// A `vmm` that a debugger can reach.
#[derive(Debug)]
pub struct Target {
    child: Child,
    line: String,
    place: String,
    /// What standard error says after the line with the place.
    said: JoinHandle<String>,
}

impl Target {
    /// Starts `vmm`, which has a `--gdb`, and waits until it listens.
    ///
    /// # Panics
    /// When it ends instead.
    pub fn start(vmm: &Vmm) -> Self {
        let mut child = vmm.spawn();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut before = String::new();
        let place = loop {
            let mut line = String::new();
            if said.read_line(&mut line).unwrap_or(0) == 0 {
                let finished = wait(child, vmm.line());
                panic!("nobody can debug it: {before}{finished}");
            }
            if let Some((_, rest)) = line.split_once("target remote ") {
                break rest.trim_end().trim_end_matches('\'').to_owned();
            }
            before.push_str(&line);
        };
        let said = thread::spawn(move || {
            let mut rest = String::new();
            let _ = said.read_to_string(&mut rest);
            rest
        });
        let line = vmm.line();
        Self {
            child,
            line,
            place,
            said,
        }
    }

    /// What gdb's `target remote` takes.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Waits for its end.
    pub fn finish(self) -> Finished {
        let mut finished = wait(self.child, self.line);
        finished.stderr.push_str(&self.said.join().unwrap());
        assert!(!finished.stderr.contains("panicked at"), "{finished}");
        finished
    }

    /// Runs gdb with the symbols of `image`, attached, through `commands`. What it says.
    ///
    /// # Panics
    /// When it does not end.
    pub fn gdb(&self, image: &Path, commands: &[&str]) -> String {
        let mut gdb = Command::new("gdb");
        gdb.args(["-nx", "-batch"]).arg(image);
        let attach = [
            format!("set remotetimeout {GDB_PATIENCE}"),
            "set pagination off".to_owned(),
            "set confirm off".to_owned(),
            format!("target remote {}", self.place),
        ];
        for command in attach
            .iter()
            .map(String::as_str)
            .chain(commands.iter().copied())
        {
            gdb.args(["-ex", command]);
        }
        let child = gdb
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("gdb starts");
        let said = wait(child, format!("gdb {}", commands.join("; ")));
        format!("{}{}", said.stdout, said.stderr)
    }

    /// A bare connection.
    ///
    /// # Panics
    /// When there is none.
    pub fn connect(&self) -> Remote {
        Remote::connect(&self.place)
    }
}

/// Whether there is a gdb; says so where there is none.
pub fn is_installed(test: &str) -> bool {
    let found = Command::new("gdb").arg("--version").output().is_ok();
    if !found {
        skip(test, "gdb is not installed (Debian's package gdb)");
    }
    found
}

/// The symbols of the bundled payload, as a file for gdb.
///
/// # Panics
/// When it cannot be written.
pub fn payload(folder: &crate::command::Folder) -> PathBuf {
    folder.file("payload.elf", guest_payload::IMAGE)
}

trait Stream: Read + Write + std::fmt::Debug {
    fn end_writing(&self) -> std::io::Result<()>;
}

impl Stream for UnixStream {
    fn end_writing(&self) -> std::io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Stream for TcpStream {
    fn end_writing(&self) -> std::io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

/// gdb's protocol by hand.
#[derive(Debug)]
pub struct Remote {
    stream: Box<dyn Stream>,
}

impl Remote {
    fn connect(place: &str) -> Self {
        let stream: Box<dyn Stream> = if place.contains('/') {
            let stream = UnixStream::connect(place).expect("vmm listens");
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            Box::new(stream)
        } else {
            let stream = TcpStream::connect(place).expect("vmm listens");
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.set_nodelay(true).unwrap();
            Box::new(stream)
        };
        Self { stream }
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    /// When the connection is gone.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("vmm reads");
    }

    /// Sends a packet; the answer comes when there is one.
    pub fn send(&mut self, packet: &str) {
        let sum = packet.bytes().fold(0, u8::wrapping_add);
        self.raw(format!("${packet}#{sum:02x}").as_bytes());
    }

    /// The next answer, without what frames it.
    ///
    /// # Panics
    /// When none comes.
    pub fn answer(&mut self) -> String {
        let mut answer = Vec::new();
        while self.byte() != b'$' {}
        loop {
            match self.byte() {
                b'#' => break,
                // Run-length encoding: the byte before, so many times more.
                b'*' => {
                    let more = usize::from(self.byte() - 29);
                    let last = *answer.last().expect("something to repeat");
                    answer.resize(answer.len() + more, last);
                }
                byte => answer.push(byte),
            }
        }
        // The checksum: a stream loses nothing.
        for _ in 0..2 {
            self.byte();
        }
        // After the last answer nobody waits for it.
        let _ = self.stream.write_all(b"+");
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Sends a packet and returns the answer.
    pub fn ask(&mut self, packet: &str) -> String {
        self.send(packet);
        self.answer()
    }

    /// Sends bytes as they are, as far as they are taken.
    pub fn shove(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Says no more, and waits until the other side has gone too: then the next debugger may come.
    pub fn hang_up(mut self) {
        // Fails where the other side has gone already.
        let _ = self.stream.end_writing();
        self.closed();
    }

    /// Waits until the other side has closed the connection.
    ///
    /// # Panics
    /// When it does not.
    pub fn closed(&mut self) {
        let mut rest = [0; 256];
        loop {
            match self.stream.read(&mut rest) {
                Ok(0) => return,
                Ok(_) => {}
                // It had not read all of what was sent.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
                Err(error) => panic!("the connection stays: {error}"),
            }
        }
    }

    fn byte(&mut self) -> u8 {
        let mut byte = [0];
        self.stream.read_exact(&mut byte).expect("vmm answers");
        byte[0]
    }
}
