//! What metagame decides, without clock, randomness, database or network: those come as arguments.
//!
//! | module | decides |
//! |---|---|
//! | [`device`], [`name`] | which device ids and player names are accepted |
//! | [`password`], [`email`], [`code`] | which passwords, addresses and codes are accepted, and how they are checked |
//! | [`guard`] | how hard a login is made that looks like guessing |
//! | [`factor`] | second factors |
//! | [`steam`], [`oidc`] | what the word of Steam and of identity providers is worth |
//! | [`rotation`] | when the keys of access tokens take turns |
//! | [`letter`] | what players are told by mail |
//! | [`session`] | what a presented refresh token is worth |
//! | [`match_state`] | what an event makes of a match, and whether a match holds its players |
//! | [`rating`], [`progress`], [`settlement`] | what a result gives to each player |
//! | [`progression`] | what results count for levels, seasons, challenges and achievements, and what that gives |
//! | [`match_event`] | what other systems are told of a match |
//! | [`webhook`], [`health`] | how an event is signed, when it is tried again, and how its endpoint does |
//! | [`gateway`] | what a connected player hears, and what it hears again after its connection broke |
//! | [`social`] | what players are to each other |
//! | [`ledger`], [`seal`] | how money moves, and what proves it afterwards |
//! | [`payment`] | what a payment provider's events mean, whatever order they come in |
//! | [`catalog`] | what is sold, when, for how much, and what matches give |
//! | [`inventory`] | what goods are in an inventory |
//! | [`circuit`] | when somebody who does not answer is asked no more |
//! | [`form`] | how names and values are written in forms and queries |
//! | [`loadout`] | which items a player takes along |
//! | [`kv`] | which values a game keeps per player |
//! | [`gamemesh`] | what clients of the GameMesh backend expect |
//! | [`live`] | which events are on, which settings a player gets, what follows from a verdict of anti-cheat, what the studio's own rules refuse |
//! | [`telemetry`] | what is taken as a report of the game, and what of it is sealed |
//! | [`page`] | how a long list is read in pages |

pub mod act;
pub mod admission;
pub mod build;
pub mod calendar;
pub mod catalog;
pub mod circuit;
pub mod code;
pub mod device;
pub mod email;
pub mod erasure;
pub mod event;
pub mod factor;
pub mod form;
pub mod gamemesh;
pub mod gateway;
pub mod guard;
pub mod health;
pub mod inventory;
pub mod kv;
pub mod leaderboard;
pub mod ledger;
pub mod letter;
pub mod live;
pub mod loadout;
pub mod match_event;
pub mod match_state;
pub mod name;
pub mod oidc;
pub mod page;
pub mod password;
pub mod payment;
pub mod progress;
pub mod progression;
pub mod ranking;
pub mod rating;
pub mod receipt;
pub mod rotation;
pub mod sanction;
pub mod seal;
pub mod session;
pub mod settlement;
pub mod social;
pub mod steam;
pub mod telemetry;
pub mod trade;
pub mod webhook;
