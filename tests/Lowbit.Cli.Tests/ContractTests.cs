using System;
using System.Collections.Generic;
using System.CommandLine;
using System.IO;
using System.Linq;
using System.Runtime.InteropServices;
using System.Text.Json;
using Lowbit.Core;
using Lowbit.Formats;
using Lowbit.Formats.Safetensors;
using Lowbit.TestKit;
using Xunit;

namespace Lowbit.Cli.Tests;

/// <summary>Options and JSON fields that others rely on: more may come, none of these may go.</summary>
public sealed class ContractTests(TinyModel model) : IClassFixture<TinyModel>
{
    private const string Methods = "--method --bits --group-size --symmetric --activation-order --damping --block-size --salient --saliency --salient-bits --binary --scale-rule --double-quantization";
    private const string Generation = "--prompt --prompt-ids --max-tokens --ignore-eos --temperature --top-k --top-p --min-p --seed --activations --cache";

    [Theory]
    [InlineData("inspect", "")]
    [InlineData("tokenize", "--text --file --ids --special")]
    [InlineData("quantize", Methods + " -o --calibration --samples --context --sampling --seed --dry-run --force --recipe --target-bits --memory-limit")]
    [InlineData("layer", Methods + " -o")]
    [InlineData("eval", "--text --protocol --context --windows --base --activations --cache")]
    [InlineData("run", Generation)]
    [InlineData("chat", Generation + " --system")]
    [InlineData("bench", "--prompt-tokens --generate-tokens --repeat --activations --cache")]
    [InlineData("convert", "-o --to --type")]
    public void OptionsStay(string verb, string options)
    {
        RootCommand root = CommandLine.Create();
        Command command = root.Subcommands.Single(c => c.Name == verb);
        HashSet<string> known = [.. command.Options.Concat(root.Options).SelectMany(option => option.Aliases.Prepend(option.Name))];
        string[] wanted = [.. options.Split(' ', StringSplitOptions.RemoveEmptyEntries), "--json", "--threads", "--quiet", "--verbose"];
        Assert.Empty(wanted.Except(known));
    }

    [Theory]
    [InlineData("inspect", "architecture parameters weight_bytes bits_per_weight tensors", "tensors", "name shape format bytes")]
    [InlineData("tokenize", "ids text")]
    [InlineData("quantize", "method bits_per_weight nominal_bits_per_weight weight_bytes seconds peak_memory_bytes layers", "layers", "name output_error bits_per_weight")]
    [InlineData("layer", "output_error")]
    [InlineData("eval", "protocol perplexity tokens mean_nll")]
    [InlineData("run", "text token_ids prompt_tokens tokens_per_second")]
    [InlineData("bench", "load_seconds prefill_tokens_per_second decode_tokens_per_second weight_bytes_per_token memory_bandwidth_bytes_per_second roofline_fraction threads")]
    public void FieldsStay(string verb, string fields, string list = "", string entryFields = "")
    {
        JsonElement json = LowbitProcess.Json(verb switch
        {
            "tokenize" => [verb, model.Path, "--text", "a"],
            "quantize" => [verb, model.Path, "-o", model.In("contract"), "--method", "rtn"],
            "layer" => [verb, Case(), "--method", "rtn"],
            "eval" => [verb, model.Path, "--text", model.Text, "--windows", "1"],
            "run" => [verb, model.Path, "--prompt", "a", "--max-tokens", "2"],
            "bench" => [verb, model.Path, "--prompt-tokens", "2", "--generate-tokens", "2", "--repeat", "1"],
            _ => [verb, model.Path],
        });
        Assert.Empty(fields.Split(' ').Except(Names(json)));
        if (list.Length > 0) Assert.All(json.GetProperty(list).EnumerateArray(), entry => Assert.Empty(entryFields.Split(' ').Except(Names(entry))));
    }

    [Fact]
    public void ChatTakesAWholeConversationAsTokens()
    {
        string folder = model.In("chat");
        Directory.CreateDirectory(folder);
        foreach (string file in Directory.GetFiles(model.Path)) File.Copy(file, Path.Combine(folder, Path.GetFileName(file)), overwrite: true);
        File.WriteAllText(Path.Combine(folder, "chat_template.jinja"), "{% for m in messages %}<s>{{ m.content }}{% endfor %}");
        string[] ends = ["--max-tokens", "5", "--temperature", "0", "--ignore-eos"];
        JsonElement said = LowbitProcess.Json(["chat", folder, "--prompt", "ab", .. ends]), tokens = LowbitProcess.Json(["chat", folder, "--prompt-ids", "1,100,101", .. ends]);
        Assert.Equal(said.GetProperty("token_ids").GetRawText(), tokens.GetProperty("token_ids").GetRawText());
        Assert.Equal(3, tokens.GetProperty("prompt_tokens").GetInt32());
        Assert.Equal(2, LowbitProcess.Run(["chat", folder, "--prompt-ids", "1", "--prompt", "a"]).ExitCode);
    }

    private static IEnumerable<string> Names(JsonElement json) => json.EnumerateObject().Select(property => property.Name);

    private string Case()
    {
        string path = model.In("contract.safetensors");
        using var writer = new SafetensorsWriter(path, [new TensorSpec("weight", ElementFormat.F32, [4, 8])], new Dictionary<string, string>());
        writer.Write("weight", MemoryMarshal.AsBytes<float>(Enumerable.Range(0, 32).Select(i => (float)Math.Sin(i)).ToArray()));
        writer.Commit();
        return path;
    }
}
