use std::io::Write;

use kvm_ioctls::Kvm;
use proptest::prelude::*;

use super::*;

const NAME_BYTES: usize = 16;

fn u32_bytes(value: usize) -> [u8; 4] {
    u32::try_from(value).unwrap().to_le_bytes()
}

/// The bytes of a statistics descriptor with these statistics: kind, name, values.
fn image(stats: &[(u32, &str, &[u64])]) -> Vec<u8> {
    let descriptors_at = HEADER_BYTES + NAME_BYTES;
    let data_at = descriptors_at + stats.len() * (DESCRIPTOR_BYTES + NAME_BYTES);
    let fields = [
        0,
        NAME_BYTES,
        stats.len(),
        HEADER_BYTES,
        descriptors_at,
        data_at,
    ];
    let mut bytes: Vec<u8> = fields.iter().flat_map(|&field| u32_bytes(field)).collect();
    bytes.extend(b"kvm-4242\0\0\0\0\0\0\0\0");
    let mut offset = 0;
    for (flags, name, values) in stats {
        bytes.extend(flags.to_le_bytes());
        bytes.extend((-9i16).to_le_bytes());
        bytes.extend(&u32_bytes(values.len())[..2]);
        bytes.extend(u32_bytes(offset));
        bytes.extend(0u32.to_le_bytes());
        let mut name = name.as_bytes().to_vec();
        name.resize(NAME_BYTES, 0);
        bytes.extend(name);
        offset += values.len() * 8;
    }
    let values = stats.iter().flat_map(|(_, _, values)| *values);
    bytes.extend(values.flat_map(|value| value.to_le_bytes()));
    bytes
}

fn stats_of(bytes: &[u8]) -> Result<StatsFd, StatsError> {
    let name = c"stats";
    // SAFETY: the name is a valid string and the flags are none.
    let fd = unsafe { libc::memfd_create(name.as_ptr(), 0) };
    assert!(fd >= 0);
    // SAFETY: the call has just made this descriptor.
    let mut file = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
    file.write_all(bytes).unwrap();
    StatsFd::with_own_layout(file)
}

fn three() -> Vec<u8> {
    image(&[
        (KVM_STATS_TYPE_CUMULATIVE, "exits", &[7]),
        (KVM_STATS_TYPE_LOG_HIST | 0x20, "wait_hist", &[1, 2, 3]),
        (KVM_STATS_TYPE_INSTANT | 0x40, "blocking", &[1]),
    ])
}

#[test]
fn names_kinds_and_values_are_read() {
    let stats = stats_of(&three()).unwrap();
    let kinds: Vec<_> = stats.descriptors().iter().map(|of| of.kind).collect();
    assert_eq!(kinds, [Kind::Cumulative, Kind::Histogram, Kind::Instant]);
    let named = |name: &str, value| (name.to_string(), value);
    let all = [
        named("exits", 7),
        named("wait_hist", 6),
        named("blocking", 1),
    ];
    assert_eq!(stats.read_all().unwrap(), all);
    let blocking = stats.find("blocking").unwrap();
    assert_eq!(stats.read_one(blocking).unwrap(), 1);
    assert_eq!(stats.find("absent"), None);
}

#[test]
fn what_is_true_only_now_is_no_counter() {
    let counters = stats_of(&three()).unwrap().read_counters().unwrap();
    let names: Vec<_> = counters.keys().map(String::as_str).collect();
    assert_eq!(names, ["exits", "wait_hist"]);
}

#[test]
fn a_full_name_needs_no_terminator() {
    let bytes = image(&[(0, "sixteen_letters_", &[1])]);
    assert!(stats_of(&bytes).unwrap().find("sixteen_letters_").is_some());
}

#[test]
fn a_descriptor_cut_short_is_an_error_at_every_length() {
    let bytes = three();
    for length in 0..bytes.len() {
        let read = stats_of(&bytes[..length]).and_then(|stats| stats.read_all());
        assert!(read.is_err(), "{length}");
    }
}

#[test]
fn absurd_headers_are_refused() {
    let refused = |field: usize, value: u32| {
        let mut bytes = three();
        bytes[4 * field..][..4].copy_from_slice(&value.to_le_bytes());
        assert!(stats_of(&bytes).is_err(), "{field} {value}");
    };
    refused(1, 0);
    refused(1, u32::MAX);
    refused(2, u32::MAX);
    refused(4, u32::MAX);
    let mut bytes = three();
    let first_offset = HEADER_BYTES + NAME_BYTES + 8;
    bytes[first_offset..][..4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(stats_of(&bytes).is_err());
}

#[test]
fn only_counters_that_grew_have_moved() {
    let counters = |pairs: &[(&str, u64)]| -> Counters {
        pairs
            .iter()
            .map(|&(name, value)| (name.into(), value))
            .collect()
    };
    let before = [
        counters(&[("exits", 5), ("halts", 1)]),
        counters(&[("exits", 1)]),
    ];
    let after = [
        counters(&[("exits", 8), ("halts", 1)]),
        counters(&[("exits", 3), ("new", 2)]),
    ];
    assert_eq!(
        moved(&before, &after),
        counters(&[("exits", 5), ("new", 2)])
    );
    assert_eq!(moved(&after, &before), Counters::new());
    assert_eq!(moved(&[], &before), counters(&[("exits", 6), ("halts", 1)]));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(
        change in prop::collection::vec((0..three().len(), any::<u8>()), 0..8)
    ) {
        let mut bytes = three();
        for (at, byte) in change {
            bytes[at] = byte;
        }
        if let Ok(stats) = stats_of(&bytes) {
            let _ = stats.read_all();
            for descriptor in stats.descriptors() {
                let _ = stats.read_one(descriptor);
            }
        }
    }
}

/// Needs `/dev/kvm`; without it says so and passes.
#[test]
fn kvm_names_its_statistics() {
    let Ok(kvm) = Kvm::new() else {
        println!("skipped: /dev/kvm cannot be opened");
        return;
    };
    let vm = kvm.create_vm().unwrap();
    let vcpus = [vm.create_vcpu(0).unwrap(), vm.create_vcpu(1).unwrap()];
    let vm = StatsFd::from_vm(&vm).unwrap();
    assert!(vm.find("remote_tlb_flush").is_some());
    let first = StatsFd::from_vcpu(&vcpus[0]).unwrap();
    let second = StatsFd::from_vcpu_like(&vcpus[1], &first).unwrap();
    assert!(Arc::ptr_eq(&first.layout, &second.layout));
    for stats in [&first, &second] {
        let exits = stats.find("exits").unwrap();
        assert_eq!(exits.kind, Kind::Cumulative);
        assert_eq!(stats.read_one(exits).unwrap(), 0);
        let all = stats.read_all().unwrap();
        assert_eq!(all.len(), stats.descriptors().len());
        assert!(all.contains(&("exits".into(), 0)));
        assert!(stats.read_counters().unwrap().len() < all.len());
    }
    let blocking = first.find("blocking").unwrap();
    assert_eq!(blocking.kind, Kind::Instant);
    assert_eq!(first.read_one(blocking).unwrap(), 0);
}
