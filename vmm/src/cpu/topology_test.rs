use super::*;
use proptest::prelude::*;

fn topology() -> impl Strategy<Value = Topology> {
    (1u32..9, 1u32..20, 1u32..9).prop_map(|(s, c, t)| Topology::new(s, c, t).unwrap())
}

fn error(text: &str) -> String {
    text.parse::<Topology>().unwrap_err().to_string()
}

#[test]
fn missing_keys_are_one_and_order_does_not_matter() {
    assert_eq!("cores=4".parse(), Topology::new(1, 4, 1));
    assert_eq!("threads=2,sockets=3".parse(), Topology::new(3, 1, 2));
    assert_eq!(
        "sockets=2,cores=3,threads=4".parse(),
        Topology::new(2, 3, 4)
    );
}

#[test]
fn what_is_printed_parses_back() {
    let topology = Topology::new(2, 3, 4).unwrap();
    assert_eq!(topology.to_string().parse(), Ok(topology));
}

#[test]
fn bad_text_is_named_in_one_line() {
    assert!(error("cores").contains("`cores` is not `key=value`"));
    assert!(error("").contains("`` is not `key=value`"));
    assert!(error("dies=2").contains("unknown key `dies`"));
    assert!(error("cores=2,cores=2").contains("`cores` is given twice"));
    for value in ["0", "-1", "", " 2", "4294967296", "two"] {
        let message = error(&format!("threads={value}"));
        assert!(message.contains(&format!("threads={value} is not")));
        assert!(!message.contains('\n'));
    }
    assert!(error("sockets=65536,cores=65536").contains("more than 32 bits"));
    // The product fits, the power-of-two fields do not.
    assert!(error("sockets=3,cores=33,threads=16777217").contains("more than 32 bits"));
}

#[test]
fn three_cores_leave_a_gap_after_each_socket() {
    let topology = Topology::new(2, 3, 2).unwrap();
    let ids: Vec<u32> = topology.apic_ids().collect();
    assert_eq!(ids, [0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13]);
    assert_eq!(topology.index_of(6), None);
    assert_eq!(topology.index_of(8), Some(6));
    assert_eq!(topology.index_of(16), None);
}

#[test]
fn the_default_is_contiguous() {
    let topology = Topology::flat(1000).unwrap();
    assert!(topology.apic_ids().eq(0..1000));
}

#[test]
fn a_wrong_product_says_how_it_multiplies_out() {
    let topology = Topology::new(2, 3, 2).unwrap();
    let message = topology.check(8, 4096).unwrap_err().to_string();
    assert!(message.contains("2 sockets x 3 cores x 2 threads = 12, but there are 8 vCPUs"));
    assert_eq!(topology.check(12, 4096), Ok(()));
}

#[test]
fn the_highest_id_is_below_the_hosts_limit() {
    let topology = Topology::new(2, 3, 2).unwrap();
    assert_eq!(topology.max_apic_id(), 13);
    assert_eq!(topology.check(12, 14), Ok(()));
    let message = topology.check(12, 13).unwrap_err().to_string();
    assert!(message.contains("up to 13, but this host's KVM allows at most 12"));
}

proptest! {
    #[test]
    fn ids_increase_strictly_and_decode_back(topology in topology()) {
        let ids: Vec<u32> = topology.apic_ids().collect();
        prop_assert_eq!(ids.len(), topology.vcpus() as usize);
        prop_assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
        for (index, id) in (0..).zip(ids) {
            prop_assert_eq!(topology.index_of(id), Some(index));
            let position = topology.position(index);
            prop_assert_eq!(id >> topology.package_shift(), position.socket);
            prop_assert_eq!(id & ((1 << topology.thread_bits()) - 1), position.thread);
        }
    }

    #[test]
    fn an_id_no_vcpu_has_is_not_found(topology in topology(), id: u32) {
        let naive = topology.apic_ids().position(|known| known == id);
        let found = topology.index_of(id).map(|index| index as usize);
        prop_assert_eq!(found, naive);
    }

    #[test]
    fn no_text_panics(text in ".{0,40}") {
        let _ = text.parse::<Topology>();
    }

    #[test]
    fn any_counts_are_taken_or_refused(s: u32, c in 0u32..70_000, t in 0u32..70_000) {
        if let Ok(topology) = Topology::new(s, c, t) {
            prop_assert_eq!(topology.index_of(topology.max_apic_id()), Some(topology.vcpus() - 1));
        }
    }
}
