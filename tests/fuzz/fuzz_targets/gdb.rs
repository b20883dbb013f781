//! Arbitrary bytes from a debugger, as they are and as packets with right checksums: they reach a
//! real machine, which stands still all the time.
#![no_main]

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;
use std::{env, process, thread};

use libfuzzer_sys::fuzz_target;
use vmm::cpu::topology::Topology;
use vmm::debugger::address::Place;
use vmm::debugger::{Farewell, Listener, Server};
use vmm::host::debugging::Debugging;
use vmm::host::open_kvm;
use vmm::machine;
use vmm::memory::MemorySize;
use vmm::spec::{Guest, HostSide, RunSpec, SerialTarget};

fn spec() -> RunSpec {
    RunSpec {
        memory: MemorySize::from_mib(16),
        host: HostSide {
            serial: SerialTarget::Null,
            ..HostSide::quiet()
        },
        ..RunSpec::new(Guest::Bundled, Topology::flat(2).expect("two vCPUs"))
    }
}

fn server() -> &'static Server<'static> {
    static SERVER: OnceLock<Server<'static>> = OnceLock::new();
    SERVER.get_or_init(|| {
        let kvm = open_kvm().expect("KVM");
        let machine = machine::build(&kvm, &spec()).expect("a machine");
        let machine = Box::leak(Box::new(machine));
        machine.start_paused().expect("threads").stay();
        let path = env::temp_dir().join(format!("vmm-fuzz-gdb-{}", process::id()));
        let listener = Listener::bind(&Place::Unix(path)).expect("a socket");
        let farewell = Farewell::new().expect("an eventfd");
        let debugging = Debugging::try_it(&kvm).expect("a tiny VM");
        let (listener, farewell) = (Box::leak(Box::new(listener)), Box::leak(Box::new(farewell)));
        Server::new(machine, listener, farewell, debugging).expect("epoll")
    })
}

/// Each line of `data` as a packet, but for the one that ends the machine for all who come after.
fn packets(data: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    for line in data.split(|byte| *byte == b'\n') {
        if line.starts_with(b"k") || line.starts_with(b"vKill") {
            continue;
        }
        let body: Vec<_> = line
            .iter()
            .copied()
            .filter(|b| !b"$#".contains(b))
            .collect();
        let sum = body.iter().copied().fold(0, u8::wrapping_add);
        stream.push(b'$');
        stream.extend_from_slice(&body);
        stream.extend_from_slice(format!("#{sum:02x}").as_bytes());
    }
    stream
}

fuzz_target!(|data: &[u8]| {
    for bytes in [data, &packets(data)] {
        let (ours, mut theirs) = UnixStream::pair().expect("sockets");
        let mut reader = theirs.try_clone().expect("a descriptor");
        // What is not read would make the server wait.
        let reading = thread::spawn(move || {
            let mut rest = Vec::new();
            let _ = reader.read_to_end(&mut rest);
        });
        let writing = thread::spawn({
            let bytes = bytes.to_vec();
            move || {
                let _ = theirs.write_all(&bytes);
                let _ = theirs.shutdown(Shutdown::Write);
                // Open until all is answered.
                theirs
            }
        });
        server().serve_one(ours).expect("a socket");
        drop(writing.join());
        let _ = reading.join();
    }
});
