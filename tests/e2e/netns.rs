//! A migration between two network namespaces, by a script that the guide points to.

use std::path::Path;
use std::process::{Command, Stdio};

use vmm_tests::command::{binary, skip, wait};

/// The script's way to say that this machine cannot do it.
const SKIPPED: i32 = 77;

#[test]
fn a_machine_moves_between_two_network_namespaces_over_tls() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/netns-migrate");
    let child = Command::new(script)
        .arg(binary())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let finished = wait(child, "tests/netns-migrate".to_owned());
    if finished.code == SKIPPED {
        return skip(
            "migration between network namespaces",
            finished.stdout.trim(),
        );
    }
    assert_eq!(finished.code, 0, "{finished}");
    assert!(finished.stdout.contains("\nPASSED: "), "{finished}");
}
