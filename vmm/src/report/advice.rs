//! What to put on a Linux kernel's command line so that it leaves an instruction alone that this
//! host's KVM cannot emulate.

use iced_x86::{CpuidFeature, Decoder, DecoderOptions};

/// The parameter for the first instruction of `code`. `None` where no parameter helps.
///
/// The names of `clearcpuid=` are those of Linux's arch/x86/include/asm/cpufeatures.h.
pub fn parameter(bits: u32, code: &[u8]) -> Option<&'static str> {
    let mut decoder = Decoder::try_with_ip(bits, code, 0, DecoderOptions::NONE).ok()?;
    let instruction = decoder.decode();
    instruction
        .cpuid_features()
        .iter()
        .find_map(|feature| of_feature(*feature))
}

fn of_feature(feature: CpuidFeature) -> Option<&'static str> {
    Some(match feature {
        CpuidFeature::XSAVE
        | CpuidFeature::XSAVEC
        | CpuidFeature::XSAVEOPT
        | CpuidFeature::XSAVES => "noxsave",
        CpuidFeature::FXSR => "nofxsr",
        CpuidFeature::POPCNT => "clearcpuid=popcnt",
        CpuidFeature::CMPXCHG16B => "clearcpuid=cx16",
        CpuidFeature::LZCNT => "clearcpuid=abm",
        CpuidFeature::MOVBE => "clearcpuid=movbe",
        CpuidFeature::SMAP => "clearcpuid=smap",
        CpuidFeature::PKU => "clearcpuid=pku",
        CpuidFeature::RDRAND => "clearcpuid=rdrand",
        CpuidFeature::RDSEED => "clearcpuid=rdseed",
        CpuidFeature::INVPCID => "clearcpuid=invpcid",
        CpuidFeature::FSGSBASE => "clearcpuid=fsgsbase",
        CpuidFeature::BMI1 => "clearcpuid=bmi1",
        CpuidFeature::BMI2 => "clearcpuid=bmi2",
        CpuidFeature::ADX => "clearcpuid=adx",
        CpuidFeature::AES => "clearcpuid=aes",
        CpuidFeature::PCLMULQDQ => "clearcpuid=pclmulqdq",
        CpuidFeature::SHA => "clearcpuid=sha_ni",
        CpuidFeature::AVX => "clearcpuid=avx",
        CpuidFeature::AVX2 => "clearcpuid=avx2",
        CpuidFeature::AVX512F => "clearcpuid=avx512f",
        CpuidFeature::SSE4_1 => "clearcpuid=sse4_1",
        CpuidFeature::SSE4_2 => "clearcpuid=sse4_2",
        CpuidFeature::SSSE3 => "clearcpuid=ssse3",
        CpuidFeature::CLFLUSHOPT => "clearcpuid=clflushopt",
        CpuidFeature::CLWB => "clearcpuid=clwb",
        CpuidFeature::MOVDIRI => "clearcpuid=movdiri",
        CpuidFeature::MOVDIR64B => "clearcpuid=movdir64b",
        CpuidFeature::SERIALIZE => "clearcpuid=serialize",
        CpuidFeature::WAITPKG => "clearcpuid=waitpkg",
        CpuidFeature::RDPID => "clearcpuid=rdpid",
        CpuidFeature::CET_IBT | CpuidFeature::CET_SS => "ibt=off",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instruction_tells_its_feature() {
        for (code, expected) in [
            (&b"\xf3\x48\x0f\xb8\xc0"[..], Some("clearcpuid=popcnt")),
            (b"\x0f\x01\xcb", Some("clearcpuid=smap")), // stac
            (b"\x48\x0f\xae\x2f", Some("noxsave")),     // xrstor64 (%rdi)
            (b"\x0f\xc7\xf0", Some("clearcpuid=rdrand")),
            (b"\xc5\xf8\x77", Some("clearcpuid=avx")), // vzeroupper
            (b"\x90", None),
            (b"", None),
        ] {
            assert_eq!(parameter(64, code), expected, "{code:x?}");
        }
    }
}
