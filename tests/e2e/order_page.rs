//! The page about snapshots has the order of state as the program has it.

use std::fs;
use std::path::Path;

use vmm::cpu::state::order::ROWS;

#[test]
fn the_page_has_the_order_of_state_as_it_is() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/design/snapshot.md");
    let page = fs::read_to_string(page).unwrap();
    let described: Vec<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |"))
        .filter(|row| {
            row.split(" | ")
                .nth(1)
                .is_some_and(|n| n.parse::<usize>().is_ok())
        })
        .map(|row| row.replace('`', ""))
        .collect();
    let rows: Vec<_> = ROWS
        .iter()
        .map(|row| {
            let (saved, restored) = (row.saved + 1, row.restored + 1);
            format!("{:?} | {saved} | {restored} | {}", row.part, row.why)
        })
        .collect();
    assert_eq!(described, rows);
}
