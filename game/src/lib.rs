//! What a studio writes against: the Game trait, and the Room that runs it one numbered tick at a time.
