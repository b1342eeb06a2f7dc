// A player of the clicking game, from login to the result: player METAGAME QUEUE, such as player 127.0.0.1:7100 clicks-1v1
//
// Prints what happens as JSON, one object per line, and ends with status 0 when the match is in the player's history.

#include <chrono>
#include <cmath>
#include <functional>
#include <iostream>
#include <random>
#include <string>
#include <thread>

#include "net.hpp"

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr auto PATIENCE = std::chrono::seconds(60);
constexpr auto SILENCE = std::chrono::seconds(10);
constexpr auto SEND_EVERY = milliseconds(100);
constexpr int TURN_MS = 20;

static void say(const char* event, Json::Object more) {
    more["event"] = event;
    std::cout << Json(more).written() << std::endl;
}

static std::string random_hex(int digits) {
    static std::random_device random;
    std::string text;
    while (digits-- > 0) text += "0123456789abcdef"[random() % 16];
    return text;
}

static std::string random_uuid() {
    return random_hex(8) + "-" + random_hex(4) + "-4" + random_hex(3) + "-8" + random_hex(3) + "-" + random_hex(12);
}

// Asks until there is an answer.
static Json until(const char* what, const std::function<std::optional<Json>()>& ask) {
    for (auto end = Clock::now() + PATIENCE; Clock::now() < end; std::this_thread::sleep_for(SEND_EVERY))
        if (auto found = ask()) return *found;
    throw std::runtime_error(std::string("waited in vain: ") + what);
}

class Visit {
public:
    explicit Visit(const std::string& metagame) : metagame_(metagame) {
        auto login = Json::Object{{"device_id", random_hex(32)}, {"name", "clicker-" + random_hex(6)}};
        metagame_.bearer = until("a session", [&] { return good("POST", "/v1/auth/device", login); })["access_token"].text();
    }

    void play(const std::string& queue) {
        auto match = placed(queue);
        auto id = match["match_id"].text();
        say("placed", {{"match_id", id}, {"address", match["address"]}, {"transport", match["transport"]}});
        auto places = in_the_match(id, Address::of(match["address"].text()));
        say("over", {{"match_id", id}, {"places", places}});
        until("the result", [&] { return times_in_history(id) > 0 ? std::optional(Json(true)) : std::nullopt; });
        say("recorded", {{"match_id", id}, {"times", times_in_history(id)}});
    }

private:
    Http metagame_;

    std::optional<Json> good(const char* method, const std::string& path, const std::optional<Json>& body = {}) {
        auto [status, answer] = metagame_.ask(method, path, body);
        if (status >= 200 && status < 300) return answer;
        say("retry", {{"path", path}, {"status", status}, {"why", answer["detail"]}});
        return {};
    }

    Json placed(const std::string& queue) {
        auto id = random_uuid();
        auto rtt = Json::Object{{"region", "local"}, {"rtt_ms", 1}};
        auto ticket = Json::Object{{"ticket_id", id}, {"queue", queue}, {"region_rtts", Json::Array{rtt}}};
        until("a ticket", [&] { return good("POST", "/v1/tickets", ticket); });
        return until("a match", [&]() -> std::optional<Json> {
            auto state = good("GET", "/v1/tickets/" + id);
            if (!state || (*state)["state"].text() == "searching") return {};
            if (auto match = (*state)["match"]; match.has("address")) return match;
            auto is_open = (*state)["state"].text() != "failed" && (*state)["state"].text() != "timed_out";
            if (!is_open) throw std::runtime_error("the ticket has ended: " + state->written());
            return {};
        });
    }

    Json token(const std::string& match) {
        auto path = "/v1/matches/" + match + "/join-token";
        return until("a token", [&] { return good("POST", path, Json::Object{}); })["join_token"];
    }

    // Clicks until the server says that it is over.
    Json in_the_match(const std::string& id, const Address& server) {
        Port port(TURN_MS);
        Json join = Json::Object{{"join", token(id)}};
        bool is_in = false;
        double clicks = 0;
        auto heard_at = Clock::now(), send_at = heard_at;
        while (Clock::now() - heard_at < SILENCE) {
            if (Clock::now() >= send_at) {
                send_at = Clock::now() + SEND_EVERY;
                clicks += is_in;
                port.send(is_in ? Json::Object{{"clicks", clicks}} : join, server);
            }
            auto heard = port.receive();
            if (!heard) continue;
            heard_at = Clock::now();
            auto& said = heard->first;
            if (said.has("welcome") && !is_in) {
                is_in = true;
                say("playing", {{"match_id", id}, {"name", said["welcome"]["name"]}});
            } else if (said.has("refused")) {
                say("refused", {{"number", said["refused"]}});
                join = Json::Object{{"join", token(id)}};
            } else if (said.has("over")) {
                return said["over"];
            }
        }
        throw std::runtime_error("the server is silent");
    }

    int times_in_history(const std::string& id) {
        int times = 0;
        auto page = good("GET", "/v1/players/me/matches").value_or(Json());
        for (auto& match : page["matches"].items()) times += match["match_id"].text() == id;
        return times;
    }
};

int main(int count, char** words) {
    if (count != 3) {
        std::cerr << "usage: player METAGAME QUEUE, such as player 127.0.0.1:7100 clicks-1v1" << std::endl;
        return 2;
    }
    try {
        Visit(words[1]).play(words[2]);
    } catch (const std::exception& error) {
        std::cerr << error.what() << std::endl;
        return 1;
    }
}
