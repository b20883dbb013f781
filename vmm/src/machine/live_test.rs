use super::*;

#[test]
fn who_is_blocked_and_never_ran_waits_for_sipi() {
    assert_eq!(doing(None, Some(1), None), None);
    assert_eq!(doing(Some(0), Some(0), None), Some(Doing::Runs));
    assert_eq!(doing(Some(1), Some(0), None), Some(Doing::WaitsForSipi));
    assert_eq!(doing(Some(1), Some(7), None), Some(Doing::Halted));
    assert_eq!(doing(Some(1), None, None), Some(Doing::Halted));
}

#[test]
fn who_came_halted_and_has_not_run_here_is_halted() {
    let known = |known| doing(Some(1), Some(0), Some(known));
    assert_eq!(known(Doing::Halted), Some(Doing::Halted));
    assert_eq!(known(Doing::WaitsForSipi), Some(Doing::WaitsForSipi));
    assert_eq!(known(Doing::Runs), Some(Doing::WaitsForSipi));
}
