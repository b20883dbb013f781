//! The floor of a kick's latency: the bundled payload's `mode=latency` on two vCPUs whose run
//! loops do nothing but what the kick needs. `floor-kick KICK HALT WORDS` prints `wait_ns` as
//! `vmm run --kick KICK --halt HALT -- WORDS` has it in its report.
//!
//! Loading is vmm's own code: it is not what is measured.

mod machine;
mod serve;

use std::process::ExitCode;

use vmm::pv::{HaltIn, KickBy};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (kick, halt, cmdline) = match words.as_slice() {
        ["kvm", "kvm", cmdline] => (KickBy::Kvm, HaltIn::Kvm, cmdline),
        ["vmm", "kvm", cmdline] => (KickBy::Vmm, HaltIn::Kvm, cmdline),
        ["vmm", "vmm", cmdline] => (KickBy::Vmm, HaltIn::Vmm, cmdline),
        _ => {
            eprintln!("usage: floor-kick kvm|vmm kvm|vmm 'PAYLOAD WORDS'");
            return ExitCode::from(2);
        }
    };
    match machine::Machine::build(kick, halt, cmdline).and_then(machine::Machine::run) {
        Ok(wait) => {
            println!("{}", serde_json::json!({ "wait_ns": wait }));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("floor-kick: {error:#}");
            ExitCode::FAILURE
        }
    }
}
