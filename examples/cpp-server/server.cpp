// A game server in C++17 that knows nothing of Muster but the HTTP of the agent beside it, and links nothing but the
// standard library. It plays the clicking game of ../python-server, with the same datagrams: whoever clicks most often wins.
//
// One loop does everything. The agent is on this machine and answers at once, so the loop asks it and waits; what got no
// answer is asked again on the next turn.

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <map>
#include <random>
#include <set>
#include <string>

#include "net.hpp"

using Clock = std::chrono::steady_clock;
using std::chrono::duration;
using std::chrono::milliseconds;

constexpr auto TURN = milliseconds(20);
constexpr auto ASK_EVERY = milliseconds(100);
constexpr auto HEALTH_EVERY = milliseconds(1000);
constexpr auto SILENCE = milliseconds(5000);
constexpr double SECONDS = 10;
constexpr double SECONDS_MAX = 600;
constexpr double CLICKS_PER_S_MAX = 50;

static volatile std::sig_atomic_t is_told_to_end = 0;

static double seconds_since(Clock::time_point then) { return duration<double>(Clock::now() - then).count(); }

static void log(const std::string& line) { std::cout << line << std::endl; }

struct Player {
    std::string name;
    std::optional<Address> address;
    double clicks = 0;
    Clock::time_point heard_at;
    bool is_there = false;
};

struct Match {
    std::map<std::string, Player> players;  // by id
    double seconds = SECONDS;
    std::optional<Clock::time_point> began_at;

    explicit Match(const Json& described) {
        for (auto& player : described["players"].items()) {
            auto id = player["player_id"].text();
            auto name = player["name"].text();
            players[id].name = name.empty() ? id.substr(0, 8) : name;
        }
        seconds = std::min(described["settings"]["seconds"].number(SECONDS), SECONDS_MAX);
    }

    // By clicks; equal clicks share a place.
    int place(const Player& player) const {
        auto is_better = [&](auto& other) { return other.second.clicks > player.clicks; };
        return 1 + static_cast<int>(std::count_if(players.begin(), players.end(), is_better));
    }

    Json result(const std::string& id, const std::string& reason) const {
        Json::Array results;
        for (auto& [player_id, player] : players)
            results.push_back(Json::Object{{"player_id", player_id},
                                           {"place", place(player)},
                                           {"score", player.clicks},
                                           {"stats", Json::Object{{"clicks", player.clicks}}}});
        return Json::Object{{"match_id", id}, {"reason", reason}, {"players", results}};
    }

    // What is to be shown of each player, by name.
    template <typename F>
    Json::Object of_each(F what) const {
        Json::Object shown;
        for (auto& [id, player] : players) shown[player.name] = what(player);
        return shown;
    }
};

class Server {
public:
    Server(const std::string& bind, const std::string& agent) : port_(TURN.count()), agent_(agent) {
        port_.bind(Address::of(bind));
        // Names this process: an agent that hears another name knows that the matches of this one are lost.
        std::random_device random;
        instance_ = std::to_string(random()) + "-" + std::to_string(random());
    }

    void run() {
        // In a pod SIGTERM comes to the game and to the agent at once: what is played is played to its end.
        while (!is_told_to_end || !matches_.empty() || !results_.empty()) {
            if (auto heard = port_.receive()) hear(heard->first, heard->second);
            if (is_time(health_at_, HEALTH_EVERY)) agent_.ask("POST", "/health", Json::Object{{"instance", instance_}});
            if (is_time(ask_at_, ASK_EVERY)) {
                compare();
                play();
                report();
            }
        }
    }

private:
    struct Seat {
        std::string match;
        std::string player;
    };

    Port port_;
    Http agent_;
    std::string instance_;
    std::map<std::string, Match> matches_;
    std::map<Address, Seat> seats_;
    std::map<std::string, Json> results_;  // of matches that are over, until the agent has them
    std::set<std::string> over_;           // matches that the roster may still name
    Clock::time_point health_at_, ask_at_;

    static bool is_time(Clock::time_point& at, Clock::duration every) {
        if (Clock::now() < at) return false;
        at = Clock::now() + every;
        return true;
    }

    // The roster is the whole truth each time: what to host, and nothing else.
    void compare() {
        auto [status, roster] = agent_.ask("GET", "/roster");
        if (status != 200) return;
        std::map<std::string, const Json*> described;
        for (auto& match : roster["matches"].items()) described[match["match_id"].text()] = &match;
        for (auto match = matches_.begin(); match != matches_.end();) {
            auto here = match++;
            if (described.count(here->first)) continue;
            log("match " + here->first + " was taken away");
            close(here->first, {});
        }
        for (auto& id : std::set<std::string>(over_))
            if (!described.count(id)) over_.erase(id);
        for (auto& [id, match] : described)
            if (!over_.count(id)) follow(id, *match);
    }

    void follow(const std::string& id, const Json& described) {
        if (matches_.emplace(id, Match(described)).second) log("match " + id + " is prepared");
        auto phase = described["phase"].text();
        if (phase == "assigned") agent_.ask("POST", "/joinable", Json::Object{{"match_id", id}});
        if (phase == "ending") end(id, described["reason"].text());
    }

    void hear(const Json& said, const Address& from) {
        auto seat = seats_.find(from);
        if (said["join"].is_text()) return seat == seats_.end() ? join(said["join"], from) : welcome(from);
        if (seat == seats_.end()) return;
        auto& [match_id, player_id] = seat->second;
        auto& match = matches_.at(match_id);
        auto& player = match.players.at(player_id);
        player.heard_at = Clock::now();
        if (!player.is_there) tell(match_id, player_id, player, "joined");
        auto clicks = std::floor(said["clicks"].number(0));
        auto most = CLICKS_PER_S_MAX * (1 + seconds_since(*match.began_at));
        if (clicks <= most) player.clicks = std::max(player.clicks, clicks);
        if (said.has("leave")) {
            tell(match_id, player_id, player, "left");
            player.address.reset();
            seats_.erase(seat);
        }
    }

    // The token is the only proof of who somebody is.
    void join(const Json& token, const Address& from) {
        auto [status, who] = agent_.ask("POST", "/verify", Json::Object{{"token", token}});
        auto match_id = who["match_id"].text(), player_id = who["player_id"].text();
        auto match = matches_.find(match_id);
        if (status == 0) return;  // the client repeats it
        if (status != 200 || match == matches_.end()) return port_.send(Json::Object{{"refused", who["refusal"]}}, from);
        auto& player = match->second.players.at(player_id);
        // A fresh token takes the seat over from whoever has it.
        if (player.address) seats_.erase(*player.address);
        player.address = from;
        player.heard_at = Clock::now();
        seats_[from] = {match_id, player_id};
        if (!match->second.began_at) match->second.began_at = Clock::now();
        tell(match_id, player_id, player, "joined");
        welcome(from);
    }

    void welcome(const Address& to) {
        auto& [match_id, player_id] = seats_.at(to);
        auto& name = matches_.at(match_id).players.at(player_id).name;
        port_.send(Json::Object{{"welcome", Json::Object{{"match", match_id}, {"name", name}}}}, to);
    }

    void tell(const std::string& match, const std::string& id, Player& player, const char* event) {
        player.is_there = event == std::string("joined");
        agent_.ask("POST", "/players", Json::Object{{"match_id", match}, {"player_id", id}, {"event", event}});
    }

    void play() {
        std::set<std::string> finished;
        for (auto& [id, match] : matches_) {
            if (!match.began_at) continue;
            auto score = match.of_each([](auto& player) { return player.clicks; });
            for (auto& [player_id, player] : match.players) {
                if (player.address) port_.send(Json::Object{{"score", score}}, *player.address);
                if (player.is_there && Clock::now() - player.heard_at > SILENCE) tell(id, player_id, player, "lost");
            }
            if (seconds_since(*match.began_at) >= match.seconds) finished.insert(id);
        }
        for (auto& id : finished) end(id, "finished");
    }

    void end(const std::string& id, const std::string& reason) {
        auto& match = matches_.at(id);
        results_[id] = match.result(id, reason);
        over_.insert(id);
        close(id, match.of_each([&](auto& player) { return match.place(player); }));
    }

    void close(const std::string& id, const Json::Object& places) {
        for (auto& [player_id, player] : matches_.at(id).players) {
            if (!player.address) continue;
            for (int time = 0; time < 3; ++time) port_.send(Json::Object{{"over", places}}, *player.address);
            seats_.erase(*player.address);
        }
        matches_.erase(id);
    }

    // A result is posted until it is safe, or until the agent says that nobody wants it.
    void report() {
        for (auto next = results_.begin(); next != results_.end();) {
            auto result = next++;
            auto [status, answer] = agent_.ask("POST", "/result", result->second);
            if (status == 0 || status >= 500) continue;
            log("result of " + result->first + ": " + answer.written());
            results_.erase(result);
        }
    }
};

static std::string setting(const char* name, const char* otherwise) {
    auto* value = std::getenv(name);
    return value ? value : otherwise;
}

int main() {
    std::signal(SIGTERM, [](int) { is_told_to_end = 1; });
    auto bind = setting("MUSTER_BIND", "127.0.0.1:7777");
    auto agent = setting("MUSTER_AGENT", "http://127.0.0.1:7790");
    try {
        Server server(bind, agent.substr(agent.find("://") == std::string::npos ? 0 : agent.find("://") + 3));
        log("listening at " + bind);
        server.run();
    } catch (const std::exception& error) {
        std::cerr << error.what() << std::endl;
        return 1;
    }
}
