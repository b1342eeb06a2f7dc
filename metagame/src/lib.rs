//! The thin metagame API: accounts, profiles, ratings, results, tickets.
