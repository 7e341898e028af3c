using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text.Json;
using Lowbit.TestKit;
using Lowbit.Tokenizers.Chat;
using Xunit;

namespace Lowbit.Tokenizers.Tests;

/// <summary>Prompts, chats and continuations of the reference models.</summary>
public sealed class GoldenModelTests
{
    public static TheoryData<string, string> Models => new() { { "SmolLM2-135M-Instruct", "smollm" }, { "TinyStories-656K", "TinyStories-656K" }, { "stories260K", "stories260K" } };

    [SharedTheory]
    [MemberData(nameof(Models))]
    public void Prompts_chats_and_continuations_are_those_of_the_reference(string model, string family)
    {
        Tokenizer tokenizer = Families.Get(family);
        using JsonDocument golden = JsonDocument.Parse(File.ReadAllBytes(Shared.Path("golden", "models", $"{model}.json")));
        int prompts = 0, chats = 0;
        foreach (JsonElement item in golden.RootElement.GetProperty("cases").EnumerateArray())
        {
            List<int> ids;
            if (item.TryGetProperty("messages", out JsonElement messages))
            {
                string rendered = tokenizer.ChatTemplate!.Render([.. messages.EnumerateArray().Select(Message)]);
                Assert.Equal(item.GetProperty("rendered").GetString(), rendered);
                ids = tokenizer.Encode(rendered, addSpecial: false, parseSpecial: true);
                chats++;
            }
            else
            {
                ids = tokenizer.Encode(item.GetProperty("prompt").GetString()!);
                prompts++;
            }
            Assert.Equal(Ids(item, "prompt_ids"), ids);
            // The reference writes llama2.c's byte tokens by name.
            string text = item.GetProperty("text").GetString()!.Replace("<0x0A>", "\n");
            Assert.Equal(text, tokenizer.Decode(Ids(item, "greedy_ids")));
        }
        Assert.Equal(model == "SmolLM2-135M-Instruct" ? (5, 2) : (golden.RootElement.GetProperty("cases").GetArrayLength(), 0), (prompts, chats));
    }

    /// <summary>The tokens that the reference perplexities were measured on.</summary>
    [SharedTheory]
    [InlineData("wikitext-2/wiki.test.raw", 303415)]
    [InlineData("wikitext-2/wiki.valid.raw", 266979)]
    [InlineData("ptb/ptb.valid.txt", 89729)]
    [InlineData("tinystories/stories.txt", 48384)]
    public void Whole_texts_have_as_many_tokens_as_the_reference(string path, int tokens)
    {
        string text = File.ReadAllText(Shared.Path(["data", .. path.Split('/')]));
        List<int> ids = Families.Get("smollm").Encode(text, addSpecial: false);
        Assert.Equal(tokens, ids.Count);
        Assert.Equal(text, Families.Get("smollm").Decode([.. ids]));
    }

    [SharedFact]
    public void Begin_and_end_are_those_of_the_configuration()
    {
        Assert.Equal((1, 2), (Families.Get("TinyStories-656K").BeginId, Families.Get("TinyStories-656K").EndIds[0]));
        Assert.Equal((1, 2), (Families.Get("smollm").BeginId, Families.Get("smollm").EndIds[0]));
        Assert.Contains(0, Families.Get("smollm").EndIds); // <|endoftext|> ends it too
        Assert.Equal(128000, Families.Get("llama3").BeginId);
        Assert.Null(Families.Get("qwen3").BeginId);
        Assert.Equal(151645, Families.Get("qwen3").EndIds[0]);
        Assert.Equal(151669, Families.Get("qwen3").VocabularySize);
        Assert.Equal([1, 22172], Families.Get("llama2").Encode("hello"));
    }

    [SharedFact]
    public void Llama3_template_begins_once_and_names_the_roles()
    {
        string text = Families.Get("llama3").ChatTemplate!.Render([new ChatMessage("system", " Be brief. "), new ChatMessage("user", "Hi")]);
        Assert.Equal("<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n", text);
    }

    [SharedFact]
    public void Qwen3_template_handles_thoughts_tools_and_turns()
    {
        ChatTemplate template = Families.Get("qwen3").ChatTemplate!;
        ChatMessage[] messages =
        [
            new("system", "S"), new("user", "Weather?"),
            new("assistant", "<think>\nhm\n</think>\n\nLet me see.") { Members = new Dictionary<string, object?> { ["tool_calls"] = JsonDocument.Parse("""[{"function":{"name":"weather","arguments":{"city":"Zürich","days":2}}}]""").RootElement } },
            new("tool", "sunny"), new("tool", "warm"),
        ];
        Dictionary<string, object?> variables = new()
        {
            ["tools"] = JsonDocument.Parse("""[{"type":"function","function":{"name":"weather"}}]""").RootElement,
            ["enable_thinking"] = false,
        };
        string text = template.Render(messages, addGenerationPrompt: true, variables);
        Assert.Equal(
            "<|im_start|>system\nS\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with function signatures within <tools></tools> XML tags:\n<tools>\n"
            + "{\"type\": \"function\", \"function\": {\"name\": \"weather\"}}\n</tools>\n\nFor each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:\n"
            + "<tool_call>\n{\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call><|im_end|>\n<|im_start|>user\nWeather?<|im_end|>\n"
            + "<|im_start|>assistant\n<think>\nhm\n</think>\n\nLet me see.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Zürich\", \"days\": 2}}\n</tool_call><|im_end|>\n"
            + "<|im_start|>user\n<tool_response>\nsunny\n</tool_response>\n<tool_response>\nwarm\n</tool_response><|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
            text);
    }

    private static ChatMessage Message(JsonElement message) => new(message.GetProperty("role").GetString()!, message.GetProperty("content").GetString()!);

    private static int[] Ids(JsonElement item, string name) => [.. item.GetProperty(name).EnumerateArray().Select(id => id.GetInt32())];
}
