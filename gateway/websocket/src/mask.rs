//! The masking of section 5.3: XOR with a repeated key of four bytes, the same in both directions.

/// Masks or unmasks `payload` in place, eight bytes at a time (the compiler widens that further).
pub(crate) fn apply(payload: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, tail) = payload.as_chunks_mut::<8>();
    for bytes in words {
        *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(key.into_iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_length_equals_the_definition() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        for length in 0..67_u8 {
            let plain: Vec<u8> = (0..length).map(|n| n.wrapping_mul(31)).collect();
            let expected: Vec<u8> = plain
                .iter()
                .enumerate()
                .map(|(i, byte)| byte ^ key[i % 4])
                .collect();
            let mut masked = plain.clone();
            super::apply(&mut masked, key);
            assert_eq!(masked, expected);
            super::apply(&mut masked, key);
            assert_eq!(masked, plain);
        }
    }
}
