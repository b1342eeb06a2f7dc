// JSON, as much of it as a small game needs: one type of value, read and written.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

class Json {
public:
    using Array = std::vector<Json>;
    using Object = std::map<std::string, Json>;

    Json() = default;
    Json(bool value) : value_(value) {}
    template <typename N, typename = std::enable_if_t<std::is_arithmetic_v<N> && !std::is_same_v<N, bool>>>
    Json(N value) : value_(static_cast<double>(value)) {}
    Json(const char* value) : value_(std::string(value)) {}
    Json(std::string value) : value_(std::move(value)) {}
    Json(Array value) : value_(std::move(value)) {}
    Json(Object value) : value_(std::move(value)) {}

    // The value, or what stands for one that is missing or of another type.
    std::string text() const { return get<std::string>({}); }
    double number(double otherwise) const { return get<double>(otherwise); }
    const Array& items() const { return get_ref<Array>(); }
    const Object& members() const { return get_ref<Object>(); }
    bool is_text() const { return std::holds_alternative<std::string>(value_); }
    bool has(const std::string& name) const { return members().count(name) > 0; }

    const Json& operator[](const std::string& name) const {
        static const Json missing;
        auto found = members().find(name);
        return found == members().end() ? missing : found->second;
    }

    // Nothing if the text is no JSON, or nested deeper than anything that is meant.
    static std::optional<Json> read(std::string_view text) {
        Reader reader{text};
        auto value = reader.value(0);
        reader.space();
        return value && reader.text.empty() ? value : std::nullopt;
    }

    std::string written() const {
        if (auto* flag = std::get_if<bool>(&value_)) return *flag ? "true" : "false";
        if (auto* number = std::get_if<double>(&value_)) return digits(*number);
        if (auto* text = std::get_if<std::string>(&value_)) return quoted(*text);
        std::string out;
        if (auto* array = std::get_if<Array>(&value_)) {
            for (auto& item : *array) out += (out.empty() ? "" : ",") + item.written();
            return "[" + out + "]";
        }
        if (auto* object = std::get_if<Object>(&value_)) {
            for (auto& [name, item] : *object) out += (out.empty() ? "" : ",") + quoted(name) + ":" + item.written();
            return "{" + out + "}";
        }
        return "null";
    }

private:
    std::variant<std::nullptr_t, bool, double, std::string, Array, Object> value_ = nullptr;

    template <typename T>
    T get(T otherwise) const {
        auto* value = std::get_if<T>(&value_);
        return value ? *value : otherwise;
    }

    template <typename T>
    const T& get_ref() const {
        static const T none;
        auto* value = std::get_if<T>(&value_);
        return value ? *value : none;
    }

    // Whole numbers without a point, as ids and counts are expected.
    static std::string digits(double number) {
        if (!std::isfinite(number)) return "null";
        char text[40];
        bool is_whole = number == std::floor(number) && std::fabs(number) < 9e15;
        std::snprintf(text, sizeof text, is_whole ? "%.0f" : "%.17g", number);
        return text;
    }

    static std::string quoted(const std::string& text) {
        std::string out = "\"";
        for (unsigned char c : text) {
            if (c == '"' || c == '\\') {
                out += '\\';
                out += static_cast<char>(c);
            } else if (c < 0x20) {
                char escape[8];
                std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
                out += escape;
            } else {
                out += static_cast<char>(c);
            }
        }
        return out + '"';
    }

    // Takes what it has read off the front of `text`.
    struct Reader {
        static constexpr int DEPTH_MAX = 32;

        std::string_view text;

        void space() { text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size())); }

        bool take(std::string_view word) {
            space();
            if (text.substr(0, word.size()) != word) return false;
            text.remove_prefix(word.size());
            return true;
        }

        std::optional<Json> value(int depth) {
            if (depth > DEPTH_MAX) return {};
            if (take("null")) return Json();
            if (take("true")) return Json(true);
            if (take("false")) return Json(false);
            if (take("[")) return array(depth);
            if (take("{")) return object(depth);
            if (!text.empty() && text.front() == '"') {
                auto string = this->string();
                return string ? std::optional<Json>(*string) : std::nullopt;
            }
            double number = 0;
            auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
            if (error != std::errc() || !std::isfinite(number)) return {};
            text.remove_prefix(static_cast<size_t>(end - text.data()));
            return Json(number);
        }

        std::optional<Json> array(int depth) {
            Array items;
            if (take("]")) return Json(items);
            do {
                auto item = value(depth + 1);
                if (!item) return {};
                items.push_back(std::move(*item));
            } while (take(","));
            return take("]") ? std::optional<Json>(std::move(items)) : std::nullopt;
        }

        std::optional<Json> object(int depth) {
            Object members;
            if (take("}")) return Json(members);
            do {
                space();
                auto name = string();
                if (!name || !take(":")) return {};
                auto item = value(depth + 1);
                if (!item) return {};
                members[*name] = std::move(*item);
            } while (take(","));
            return take("}") ? std::optional<Json>(std::move(members)) : std::nullopt;
        }

        std::optional<std::string> string() {
            if (!take("\"")) return {};
            std::string out;
            while (!text.empty() && text.front() != '"') {
                char c = text.front();
                text.remove_prefix(1);
                if (c != '\\') {
                    out += c;
                } else if (!escape(out)) {
                    return {};
                }
            }
            return take("\"") ? std::optional<std::string>(std::move(out)) : std::nullopt;
        }

        bool escape(std::string& out) {
            static const std::map<char, char> ONE = {{'"', '"'},  {'\\', '\\'}, {'/', '/'},  {'b', '\b'},
                                                     {'f', '\f'}, {'n', '\n'},  {'r', '\r'}, {'t', '\t'}};
            if (text.empty()) return false;
            char c = text.front();
            text.remove_prefix(1);
            if (auto found = ONE.find(c); found != ONE.end()) {
                out += found->second;
                return true;
            }
            auto code = c == 'u' ? hex() : std::nullopt;
            if (code && *code >= 0xd800 && *code < 0xdc00) {
                auto low = take("\\u") ? hex() : std::nullopt;
                if (!low || *low < 0xdc00 || *low > 0xdfff) return false;
                code = 0x10000 + ((*code - 0xd800) << 10) + (*low - 0xdc00);
            }
            if (code) utf8(out, *code);
            return code.has_value();
        }

        std::optional<unsigned> hex() {
            unsigned code = 0;
            auto digits = text.substr(0, 4);
            auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), code, 16);
            if (error != std::errc() || end != digits.data() + 4) return {};
            text.remove_prefix(4);
            return code;
        }

        static void utf8(std::string& out, unsigned code) {
            auto more = [&](int shift) { out += static_cast<char>(0x80 | ((code >> shift) & 0x3f)); };
            if (code < 0x80) {
                out += static_cast<char>(code);
            } else if (code < 0x800) {
                out += static_cast<char>(0xc0 | (code >> 6));
                more(0);
            } else if (code < 0x10000) {
                out += static_cast<char>(0xe0 | (code >> 12));
                more(6), more(0);
            } else {
                out += static_cast<char>(0xf0 | (code >> 18));
                more(12), more(6), more(0);
            }
        }
    };
};
