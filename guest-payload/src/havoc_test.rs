use super::*;

#[test]
fn every_deed_is_found_by_its_name_and_number() {
    for (number, deed) in (0..).zip(Deed::ALL) {
        assert_eq!(deed as u32, number);
        assert_eq!(Deed::from_name(deed.name()), Some(deed));
    }
}

#[test]
fn all_are_those_that_the_payload_comes_back_from() {
    let all = Deeds::parse("all").unwrap();
    let left_out: Vec<_> = Deed::ALL.into_iter().filter(|d| !all.has(*d)).collect();
    assert_eq!(left_out, [Deed::Vmcall, Deed::Reckless]);
    let more = Deeds::parse("all,reckless").unwrap();
    assert!(more.has(Deed::Reckless) && more.has(Deed::Ports));
    for bad in ["", "port", "ports,", "ports kicks"] {
        assert_eq!(Deeds::parse(bad), None, "{bad}");
    }
}

#[test]
fn only_what_was_asked_for_is_drawn_and_all_of_it() {
    let deeds = Deeds::parse("kicks,msrs,halts").unwrap();
    let drawn: Vec<_> = (0..100)
        .map(|turn| deeds.draw(&mut Draws::of_turn(1, 0, turn)))
        .collect();
    for deed in Deed::ALL {
        assert_eq!(drawn.contains(&deed), deeds.has(deed), "{}", deed.name());
    }
}

#[test]
fn a_turn_is_the_same_for_the_same_seed_cpu_and_number_and_for_no_others() {
    let draw = |seed, cpu, turn| Draws::of_turn(seed, cpu, turn).next();
    assert_eq!(draw(1, 2, 3), draw(1, 2, 3));
    let others = [draw(2, 2, 3), draw(1, 3, 3), draw(1, 2, 4), draw(1, 3, 2)];
    assert!(!others.contains(&draw(1, 2, 3)));
}

proptest::proptest! {
    #[test]
    fn what_is_drawn_is_below_its_limit(seed: u64, limit: u32) {
        let below = Draws::of_turn(seed, 0, 0).below(limit);
        proptest::prop_assert!(below < limit || below == 0);
    }
}
