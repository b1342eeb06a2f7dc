//! From corpus entries to hostile ones: the changes that break decoders, drawn from a seeded generator.

use netcode::emulator::Random;

/// Numbers at which lengths, counts and signs go wrong.
const NUMBERS: [u64; 19] = [
    0,
    1,
    2,
    0x0C,
    0x10,
    0x3F,
    0x40,
    0x7F,
    0x80,
    0xFF,
    0x100,
    0x3FF,
    0x400,
    0x7FFF,
    0xFFFF,
    0x7FFF_FFFF,
    0xFFFF_FFFF,
    0x8000_0000_0000_0000,
    u64::MAX,
];

/// A case from a pool of others, at most `bytes_max` long. One in sixteen is an entry as it is.
pub(crate) fn mutate(pool: &[Vec<u8>], bytes_max: usize, random: &mut Random) -> Vec<u8> {
    let mut bytes = pick(pool, random).clone();
    if random.below(16) == 0 {
        return bytes;
    }
    // Mostly one or two changes: what is broken in many places is refused at the first.
    let changes = 1 + random.below(2) + if random.below(4) == 0 { random.below(8) } else { 0 };
    for _ in 0..changes {
        change(&mut bytes, pool, random);
    }
    bytes.truncate(bytes_max);
    bytes
}

fn change(bytes: &mut Vec<u8>, pool: &[Vec<u8>], random: &mut Random) {
    match random.below(12) {
        0 | 1 => flip(bytes, random),
        2 | 3 => {
            let number = number(bytes.len(), random);
            overwrite(bytes, &number, random);
        }
        4 => {
            let number = number(bytes.len(), random);
            insert(bytes, &number, random);
        }
        5 => {
            let byte = random.next_u64() as u8;
            overwrite(bytes, &[byte], random);
        }
        6 => {
            let length = below(random, bytes.len() + 1);
            bytes.truncate(length);
        }
        7 => splice(bytes, pick(pool, random), random),
        8 => {
            let (from, to) = span(bytes, random);
            let part = bytes[from..to].to_vec();
            (0..=random.below(4)).for_each(|_| insert(bytes, &part, random));
        }
        9 => {
            let (from, to) = span(bytes, random);
            bytes.drain(from..to);
        }
        10 => {
            let other = pick(pool, random);
            let (from, to) = span(other, random);
            insert(bytes, &other[from..to], random);
        }
        _ => {
            let (from, to) = span(bytes, random);
            let noise = random.next_u64() as u8;
            bytes[from..to].iter_mut().for_each(|byte| *byte = byte.wrapping_mul(7).wrapping_add(noise));
        }
    }
}

fn flip(bytes: &mut [u8], random: &mut Random) {
    if !bytes.is_empty() {
        let bit = below(random, bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

/// A little-endian integer of 1, 2, 4 or 8 bytes: one of [`NUMBERS`], or near the length of the whole.
fn number(length: usize, random: &mut Random) -> Vec<u8> {
    let value = match random.below(4) {
        0 => (length as u64).wrapping_add(random.below(5)).wrapping_sub(2),
        1 => NUMBERS[below(random, NUMBERS.len())].wrapping_add(random.below(3)).wrapping_sub(1),
        _ => NUMBERS[below(random, NUMBERS.len())],
    };
    value.to_le_bytes()[..1 << random.below(4)].to_vec()
}

fn overwrite(bytes: &mut [u8], part: &[u8], random: &mut Random) {
    let at = below(random, bytes.len());
    bytes[at..].iter_mut().zip(part).for_each(|(byte, new)| *byte = *new);
}

fn insert(bytes: &mut Vec<u8>, part: &[u8], random: &mut Random) {
    let at = below(random, bytes.len() + 1);
    bytes.splice(at..at, part.iter().copied());
}

/// The head of the one and the tail of the other, cut at the same place or at two.
fn splice(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let cut = below(random, bytes.len() + 1);
    let from = if random.below(2) == 0 { cut.min(other.len()) } else { below(random, other.len() + 1) };
    bytes.truncate(cut);
    bytes.extend_from_slice(&other[from..]);
}

/// A part of at most 64 bytes; empty only when `bytes` is.
fn span(bytes: &[u8], random: &mut Random) -> (usize, usize) {
    let from = below(random, bytes.len());
    let to = (from + 1 + below(random, 64)).min(bytes.len());
    (from, to)
}

fn pick<'a>(pool: &'a [Vec<u8>], random: &mut Random) -> &'a Vec<u8> {
    &pool[below(random, pool.len())]
}

fn below(random: &mut Random, end: usize) -> usize {
    random.below(end as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_cases_and_none_is_too_long() {
        let pool = vec![vec![], vec![7], (0..200).collect::<Vec<u8>>()];
        let cases = |seed| {
            let mut random = Random::new(seed);
            (0..5_000).map(|_| mutate(&pool, 256, &mut random)).collect::<Vec<_>>()
        };
        assert_eq!(cases(3), cases(3));
        assert_ne!(cases(3), cases(4));
        assert!(cases(5).iter().all(|case| case.len() <= 256));
        let different: std::collections::BTreeSet<_> = cases(5).into_iter().collect();
        assert!(different.len() > 2_000, "{} different cases of 5,000", different.len());
    }
}
