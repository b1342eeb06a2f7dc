// Sockets of a POSIX system: addresses, one UDP port, and HTTP requests with JSON.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "json.hpp"

// Of IPv4, as `1.2.3.4:7777`: no resolver is linked in.
struct Address {
    sockaddr_in raw{};

    static Address of(const std::string& text) {
        Address address;
        auto colon = text.rfind(':');
        auto host = text.substr(0, colon);
        auto port = colon == std::string::npos ? 0 : std::atoi(text.c_str() + colon + 1);
        address.raw.sin_family = AF_INET;
        address.raw.sin_port = htons(static_cast<uint16_t>(port));
        if (port <= 0 || port > 65535 || inet_pton(AF_INET, host.c_str(), &address.raw.sin_addr) != 1)
            throw std::runtime_error("not an address like 127.0.0.1:7777: " + text);
        return address;
    }

    const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&raw); }

    friend bool operator<(const Address& a, const Address& b) {
        return std::pair(a.raw.sin_addr.s_addr, a.raw.sin_port) < std::pair(b.raw.sin_addr.s_addr, b.raw.sin_port);
    }
};

// A socket that is closed with its owner, and waits at most so long.
class Socket {
public:
    Socket(int type, int patience_ms) : number_(::socket(AF_INET, type, 0)) {
        if (number_ < 0) throw std::runtime_error("no socket");
        timeval patience{patience_ms / 1000, patience_ms % 1000 * 1000};
        setsockopt(number_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        setsockopt(number_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    }
    ~Socket() { close(number_); }
    Socket(const Socket&) = delete;
    Socket& operator=(const Socket&) = delete;

    int number() const { return number_; }

private:
    int number_;
};

// A UDP port whose datagrams are JSON.
class Port {
public:
    explicit Port(int patience_ms) : socket_(SOCK_DGRAM, patience_ms) {}

    void bind(const Address& address) {
        if (::bind(socket_.number(), address.get(), sizeof address.raw) != 0) throw std::runtime_error("cannot bind");
    }

    // The next datagram and where it comes from; nothing if none comes in time, or if it is no JSON.
    std::optional<std::pair<Json, Address>> receive() {
        char bytes[4096];
        Address from;
        socklen_t size = sizeof from.raw;
        auto* address = reinterpret_cast<sockaddr*>(&from.raw);
        auto length = recvfrom(socket_.number(), bytes, sizeof bytes, 0, address, &size);
        if (length < 0) return {};
        auto said = Json::read(std::string_view(bytes, static_cast<size_t>(length)));
        return said ? std::optional(std::pair(*said, from)) : std::nullopt;
    }

    // A datagram may be lost anyway: whoever misses it asks again.
    void send(const Json& what, const Address& to) {
        auto text = what.written();
        (void)sendto(socket_.number(), text.data(), text.size(), 0, to.get(), sizeof to.raw);
    }

private:
    Socket socket_;
};

// Status 0: nobody answered.
struct Answer {
    int status = 0;
    Json body;
};

// Requests to one host, each on a connection of its own, by HTTP/1.0: the answer ends with the connection.
class Http {
public:
    explicit Http(std::string host) : host_(std::move(host)), address_(Address::of(host_)) {}

    Answer ask(const std::string& method, const std::string& path, const std::optional<Json>& body = {}) {
        std::string head = method + " " + path + " HTTP/1.0\r\nhost: " + host_ + "\r\n";
        if (!bearer.empty()) head += "authorization: Bearer " + bearer + "\r\n";
        auto text = body ? body->written() : std::string();
        if (body) head += "content-type: application/json\r\ncontent-length: " + std::to_string(text.size()) + "\r\n";
        auto heard = exchange(head + "\r\n" + text);
        // HTTP/1.x NNN …
        auto space = heard.find(' ');
        auto end = heard.find("\r\n\r\n");
        if (space == std::string::npos || end == std::string::npos) return {};
        return {std::atoi(heard.c_str() + space), Json::read(heard.substr(end + 4)).value_or(Json())};
    }

    // Who asks, where that matters.
    std::string bearer;

private:
    static constexpr int PATIENCE_MS = 2000;
    static constexpr size_t ANSWER_BYTES_MAX = 1 << 20;

    std::string host_;
    Address address_;

    std::string exchange(const std::string& request) {
        Socket socket(SOCK_STREAM, PATIENCE_MS);
        if (connect(socket.number(), address_.get(), sizeof address_.raw) != 0) return {};
        for (size_t sent = 0; sent < request.size();) {
            auto more = ::send(socket.number(), request.data() + sent, request.size() - sent, MSG_NOSIGNAL);
            if (more <= 0) return {};
            sent += static_cast<size_t>(more);
        }
        std::string heard;
        char bytes[4096];
        while (heard.size() < ANSWER_BYTES_MAX) {
            auto more = recv(socket.number(), bytes, sizeof bytes, 0);
            if (more < 0) return {};
            if (more == 0) break;
            heard.append(bytes, static_cast<size_t>(more));
        }
        return heard;
    }
};
