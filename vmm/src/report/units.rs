//! Numbers as a person reads them: three significant digits and a unit.

/// A duration, from `ns` up to `s`.
pub fn ns(ns: u64) -> String {
    scaled(ns as f64, &["ns", "µs", "ms", "s"])
}

/// A count; exact below 10000.
pub fn count(count: u64) -> String {
    if count < 10_000 {
        return count.to_string();
    }
    scaled(count as f64, &["", "k", "M", "G", "T", "P", "E"])
}

/// Something per second.
pub fn per_second(rate: f64) -> String {
    scaled(rate, &["/s", "k/s", "M/s", "G/s"])
}

/// An amount of data, in powers of 1000 as rates are given.
pub fn data(bytes: u64) -> String {
    scaled(bytes as f64, &["B", "kB", "MB", "GB", "TB", "PB", "EB"])
}

/// A size in bytes, in powers of 1024, where it is a whole number of them.
pub fn bytes(bytes: u64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut step = 0;
    let mut value = bytes;
    while step + 1 < units.len() && value >= 1024 && value.is_multiple_of(1024) {
        value /= 1024;
        step += 1;
    }
    format!("{value} {}", units[step])
}

/// Three significant digits of `value` in the first of `units`, each 1000 times the one before,
/// that leaves less than 1000; the last unit takes all that is greater.
fn scaled(value: f64, units: &[&str]) -> String {
    let mut value = value;
    let mut step = 0;
    // 999.5 and above would round to 1000.
    while value >= 999.5 && step + 1 < units.len() {
        value /= 1000.0;
        step += 1;
    }
    let digits = match value {
        _ if value.fract() == 0.0 && step == 0 => 0,
        _ if value >= 99.95 => 0,
        _ if value >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.digits$} {}", units[step])
        .trim_end()
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_a_unit() {
        let cases = [
            (0, "0 ns"),
            (7, "7 ns"),
            (999, "999 ns"),
            (1000, "1.00 µs"),
            (9_999, "10.0 µs"),
            (99_960, "100 µs"),
            (999_600, "1.00 ms"),
            (43_100_000, "43.1 ms"),
            (1_500_000_000, "1.50 s"),
            (4_000_000_000_000, "4000 s"),
        ];
        for (value, text) in cases {
            assert_eq!(ns(value), text);
        }
    }

    #[test]
    fn small_counts_are_exact() {
        assert_eq!(count(9_999), "9999");
        assert_eq!(count(10_000), "10.0 k");
        assert_eq!(count(1_234_567), "1.23 M");
        assert_eq!(count(u64::MAX), "18.4 E");
    }

    #[test]
    fn rates_and_sizes() {
        assert_eq!(per_second(1_234_567.0), "1.23 M/s");
        assert_eq!(per_second(0.0), "0 /s");
        assert_eq!(per_second(2.5), "2.50 /s");
        assert_eq!(bytes(128 << 20), "128 MiB");
        assert_eq!(bytes(1025), "1025 bytes");
        assert_eq!(bytes(0), "0 bytes");
        assert_eq!(data(0), "0 B");
        assert_eq!(data(134_217_728), "134 MB");
    }
}
