//! The experiments that come with the program.

/// An experiment inside the binary.
#[derive(Clone, Copy, Debug)]
pub struct Builtin {
    /// Its name.
    pub name: &'static str,
    /// Its specification.
    pub text: &'static str,
}

/// All of them, in the order in which somebody new to the subject would run them.
pub const ALL: [Builtin; 7] = [
    builtin("overcommit", include_str!("builtin/overcommit.toml")),
    builtin("ple", include_str!("builtin/ple.toml")),
    builtin("threshold", include_str!("builtin/threshold.toml")),
    builtin("kick-yield", include_str!("builtin/kick-yield.toml")),
    builtin("fairness", include_str!("builtin/fairness.toml")),
    builtin("overhead", include_str!("builtin/overhead.toml")),
    builtin("kick-faults", include_str!("builtin/kick-faults.toml")),
];

const fn builtin(name: &'static str, text: &'static str) -> Builtin {
    Builtin { name, text }
}

/// The experiment called `name`.
pub fn find(name: &str) -> Option<Builtin> {
    ALL.into_iter().find(|builtin| builtin.name == name)
}

#[cfg(test)]
#[path = "builtin_test.rs"]
mod tests;
