//! What is said, who hears it, and who does not.

use metagame::core::social::chat::{Channel, HISTORY_LIFE_MS, HISTORY_MAX};
use metagame::core::social::tie::Act;
use metagame::store::Store;
use metagame::store::social::{ChatFault, Entrance, FriendAct, NewParty, Said, Saying};
use protocol::id::{MatchId, PartyId, PlayerId};

use super::players::{NOW, accounts};
use super::stores::stores;

async fn say(store: &Store, sender: PlayerId, channel: Channel, n: u16) -> Result<Said, ChatFault> {
    let message_id = (u128::from(n) + 1).to_be_bytes();
    let text = format!("message {n}").parse().expect("a text");
    store.say(Saying { sender, channel, message_id, text, now_ms: NOW }).await.expect("a use case")
}

async fn texts(store: &Store, player: PlayerId, channel: Channel) -> Result<Vec<String>, ChatFault> {
    let found = store.chat(player, channel, 0, 200, NOW).await.expect("a use case")?;
    Ok(found.into_iter().map(|message| message.text).collect())
}

/// A party of these players, and its channel.
async fn party(store: &Store, players: &[PlayerId]) -> Channel {
    let (party_id, code) = (PartyId::from_entropy([1; 16]), Some("CDFGHJKM".to_owned()));
    let new = NewParty { player: players[0], party_id, size_max: 8, code, now_ms: NOW };
    store.make_party(new).await.expect("a use case").expect("a party");
    for player in &players[1..] {
        let joined = store.join_party(*player, Entrance::Code("CDFGHJKM".into()), NOW).await;
        joined.expect("a use case").expect("open");
    }
    Channel::Party(party_id)
}

#[tokio::test]
async fn only_those_of_a_channel_talk_and_read_there() {
    for (store, _keep) in stores().await {
        let players = accounts(&store, 3).await;
        let channel = party(&store, &players[..2]).await;
        let said = say(&store, players[0], channel, 1).await.expect("a member");
        assert_eq!((said.message.seq, said.audience), (1, players[..2].to_vec()));
        let again = say(&store, players[0], channel, 1).await.expect("a member");
        assert_eq!((again.message.seq, again.audience), (1, vec![]), "said twice it is one message");
        assert_eq!(texts(&store, players[1], channel).await, Ok(vec!["message 1".to_owned()]));
        assert_eq!(texts(&store, players[2], channel).await, Err(ChatFault::NotInChannel));
        for strange in [channel, Channel::Direct(players[0]), Channel::Match(MatchId::from_entropy([9; 16]))] {
            assert_eq!(say(&store, players[2], strange, 2).await.map(drop), Err(ChatFault::NotInChannel));
        }
    }
}

#[tokio::test]
async fn who_blocks_or_mutes_does_not_read_and_a_block_works_both_ways() {
    for (store, _keep) in stores().await {
        let players = accounts(&store, 3).await;
        let channel = party(&store, &players).await;
        let [one, two, three] = players[..] else { panic!("three") };
        say(&store, one, channel, 1).await.expect("a member");
        say(&store, two, channel, 2).await.expect("a member");
        assert!(store.mute(three, two, NOW).await.expect("a use case"));
        let block = FriendAct { player: one, other: two, act: Act::Block, now_ms: NOW };
        store.act_on_friend(block).await.expect("a use case").expect("known").expect("blocked");
        assert_eq!(say(&store, two, channel, 3).await.expect("a member").audience, [two]);
        assert_eq!(say(&store, one, channel, 4).await.expect("a member").audience, [one, three]);
        let read = async |player| texts(&store, player, channel).await.expect("a member");
        assert_eq!(read(one).await, ["message 1", "message 4"]);
        assert_eq!(read(two).await, ["message 2", "message 3"]);
        assert_eq!(read(three).await, ["message 1", "message 4"]);
        store.unmute(three, two).await.expect("a use case");
        assert_eq!(read(three).await.len(), 4);
        assert_eq!(store.mutes(three).await.expect("a list"), []);
    }
}

#[tokio::test]
async fn history_is_bounded_by_number_and_age() {
    for (store, _keep) in stores().await {
        let players = accounts(&store, 2).await;
        let channel = party(&store, &players).await;
        let many = u16::try_from(HISTORY_MAX).expect("few") + 5;
        for n in 0..many {
            say(&store, players[0], channel, n).await.expect("a member");
        }
        let kept = texts(&store, players[1], channel).await.expect("a member");
        assert_eq!((kept.len() as u64, kept[0].as_str()), (HISTORY_MAX, "message 5"));
        store.prune(NOW + HISTORY_LIFE_MS + 1).await.expect("pruned");
        assert_eq!(texts(&store, players[1], channel).await, Ok(vec![]));
        let next = say(&store, players[0], channel, many).await.expect("a member");
        assert_eq!(next.message.seq, u64::from(many) + 1, "numbers go on");
    }
}
