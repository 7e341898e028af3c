using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using System.Text;
using Lowbit.Core;
using Lowbit.Tokenizers.Patterns;

namespace Lowbit.Tokenizers.Chat;

/// <summary>
/// Writes a chat as the text that a model was trained on. Templates are in Jinja, as Hugging Face models bring them; what
/// they use of it is interpreted here, with bounded work, since a template is a program from a stranger.
/// </summary>
public sealed class ChatTemplate
{
    private const long MostSteps = 10_000_000;

    private readonly IReadOnlyList<Statement> _body;
    private readonly string? _beginText, _endText;

    /// <summary>Compiles a template.</summary>
    /// <param name="template">In Jinja.</param>
    /// <param name="beginText">Text of the begin token, <c>bos_token</c> in the template; null when there is none.</param>
    /// <param name="endText">Text of the end token, <c>eos_token</c> in the template; null when there is none.</param>
    /// <exception cref="LowbitException">The template is not understood; the message names the line and what was found there.</exception>
    public ChatTemplate(string template, string? beginText = null, string? endText = null)
    {
        _body = TemplateParser.Parse(template);
        (_beginText, _endText) = (beginText, endText);
    }

    /// <summary>What <c>strftime_now</c> asks for the date.</summary>
    public TimeProvider Clock { get; init; } = TimeProvider.System;

    /// <summary>Writes a chat.</summary>
    /// <param name="messages">The messages so far.</param>
    /// <param name="addGenerationPrompt">Ends with the beginning of the answer that the model shall give.</param>
    /// <param name="variables">
    /// Further variables such as <c>tools</c> or <c>enable_thinking</c>: null, truth values, numbers, strings,
    /// <see cref="System.Text.Json.JsonElement"/>, dictionaries by strings, and sequences of such.
    /// </param>
    /// <returns>The text; special tokens stand in it by name, so encode it with <c>addSpecial: false, parseSpecial: true</c>.</returns>
    /// <exception cref="LowbitException">The template rejects the chat, fails, or takes too long.</exception>
    public string Render(IReadOnlyList<ChatMessage> messages, bool addGenerationPrompt = true, IReadOnlyDictionary<string, object?>? variables = null)
    {
        Map globals = [];
        globals["messages"] = messages.Select(Import).ToList<object?>();
        globals["add_generation_prompt"] = addGenerationPrompt;
        globals["tools"] = null;
        globals["documents"] = null;
        if (_beginText is not null) globals["bos_token"] = _beginText;
        if (_endText is not null) globals["eos_token"] = _endText;
        foreach ((string name, object? value) in variables ?? new Dictionary<string, object?>()) globals[name] = Import(name, value);
        WorkMeter meter = new(MostSteps + 10 * messages.Sum(message => (long)message.Content.Length), "the chat template");
        globals["strftime_now"] = (Function)((positional, _) =>
        {
            string format = positional.Count > 0 ? TemplateValues.ToText(positional[0]) : "";
            meter.Add(format.Length);
            return Format(format);
        });
        return new TemplateInterpreter(globals, meter).Run(_body);
    }

    private static Map Import(ChatMessage message)
    {
        Map map = new() { ["role"] = message.Role, ["content"] = message.Content };
        foreach ((string name, object? value) in message.Members ?? new Dictionary<string, object?>()) map[name] = Import(name, value);
        return map;
    }

    private static object? Import(string name, object? value) => TemplateValues.TryImport(value, out object? imported) ? imported
        : throw new LowbitException($"the chat template's variable {name} is a {value?.GetType().Name} or holds one, or is too deep; give null, truth values, numbers, strings, JSON, dictionaries and sequences.");

    private string Format(string format)
    {
        DateTimeOffset now = Clock.GetLocalNow();
        StringBuilder text = new();
        for (int i = 0; i < format.Length; i++)
        {
            if (format[i] != '%' || i + 1 == format.Length)
            {
                text.Append(format[i]);
                continue;
            }
            string? dotNet = format[++i] switch
            {
                'd' => "dd",
                'm' => "MM",
                'Y' => "yyyy",
                'y' => "yy",
                'b' => "MMM",
                'B' => "MMMM",
                'a' => "ddd",
                'A' => "dddd",
                'H' => "HH",
                'I' => "hh",
                'M' => "mm",
                'S' => "ss",
                'p' => "tt",
                _ => null,
            };
            if (dotNet is not null) text.Append(now.ToString(dotNet, CultureInfo.InvariantCulture));
            else text.Append(format[i] == '%' ? "%" : throw new LowbitException($"the chat template asks strftime_now for %{format[i]}, but %d %m %Y %y %b %B %a %A %H %I %M %S %p are known; give another template."));
        }
        return text.ToString();
    }
}
