//! What a host needs, as bytes of a file.

use super::*;
use proptest::prelude::*;

#[test]
fn a_capability_of_a_newer_version_is_a_difference() {
    let bytes = postcard::to_stdvec(&(1_u64 << 40 | 1)).unwrap();
    let mut guest = needs(vec![entry(0, 0, INTEL)]);
    guest.capabilities = postcard::from_bytes(&bytes).unwrap();
    let found = differences(&guest, &offers(vec![entry(0, 0, INTEL)]));
    assert_eq!(found, [Difference::UnknownCapability]);
}

#[test]
fn a_kernel_release_is_short_and_safe_to_print() {
    let mut guest = needs(Vec::new());
    for (release, taken) in [
        ("6.18.0-rc1+", true),
        ("", true),
        ("6.18 \u{1b}[2J", false),
        (&"6".repeat(65), false),
    ] {
        guest.kernel = release.to_owned();
        let bytes = postcard::to_stdvec(&guest).unwrap();
        let read = postcard::from_bytes::<HostNeeds>(&bytes);
        assert_eq!(read.is_ok(), taken, "{release:?}");
    }
}

/// Format version 1. If this fails, old snapshots cannot be read: do not change the numbers.
#[test]
fn the_wire_form_is_that_of_version_1() {
    let all = [
        Capability::LocalApicInKvm,
        Capability::WideApicIds,
        Capability::VmcallCompletes,
        Capability::UserSpaceMsrs,
        Capability::TscDeadline,
    ];
    let guest = HostNeeds {
        capabilities: all.into_iter().collect(),
        ..needs(vec![entry(1, 2, [3, 4, 5, 6])])
    };
    let bytes = postcard::to_stdvec(&guest).unwrap();
    assert_eq!((bytes.len(), crc32fast::hash(&bytes)), (65, 0xf3db_df3d));
    assert_eq!(postcard::from_bytes::<HostNeeds>(&bytes).unwrap(), guest);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        if let Ok(read) = postcard::from_bytes::<HostNeeds>(&bytes) {
            differences(&read, &offers(Vec::new())).iter().for_each(|line| {
                let _ = line.to_string();
            });
        }
    }
}
