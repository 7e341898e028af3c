using System.Collections.Generic;
using System.Collections.Immutable;
using System.Text.Json;
using Lowbit.Core;
using Lowbit.Kernels;

namespace Lowbit.Models.Architectures;

/// <summary>Typed access to a <c>config.json</c>, with errors that name the key, what stands there and what should.</summary>
internal sealed class ConfigReader(string path, JsonElement root)
{
    /// <summary>The file, for error messages.</summary>
    public string Path { get; } = path;

    /// <summary>The object as parsed.</summary>
    public JsonElement Root { get; } = root;

    public bool Has(string key) => Root.TryGetProperty(key, out JsonElement value) && value.ValueKind != JsonValueKind.Null;

    /// <summary>A size: a whole number from 1 to 2³¹ − 1.</summary>
    public int Size(string key, int? otherwise = null)
    {
        if (!Has(key)) return otherwise ?? throw Missing(key);
        JsonElement value = Root.GetProperty(key);
        if (value.ValueKind != JsonValueKind.Number || !value.TryGetInt32(out int size) || size < 1)
            throw Wrong(key, "a whole number of at least 1");
        return size;
    }

    public float Float(string key, float? otherwise = null)
    {
        if (!Has(key)) return otherwise ?? throw Missing(key);
        JsonElement value = Root.GetProperty(key);
        if (value.ValueKind != JsonValueKind.Number || !value.TryGetDouble(out double number) || !float.IsFinite((float)number))
            throw Wrong(key, "a finite number");
        return (float)number;
    }

    public bool Flag(string key, bool otherwise)
    {
        if (!Has(key)) return otherwise;
        JsonElement value = Root.GetProperty(key);
        return value.ValueKind switch
        {
            JsonValueKind.True => true,
            JsonValueKind.False => false,
            _ => throw Wrong(key, "true or false"),
        };
    }

    public string Text(string key, string? otherwise = null)
    {
        if (!Has(key)) return otherwise ?? throw Missing(key);
        JsonElement value = Root.GetProperty(key);
        return value.ValueKind == JsonValueKind.String ? value.GetString()! : throw Wrong(key, "a string");
    }

    /// <summary>An object inside, or null where there is none.</summary>
    public ConfigReader? Object(string key)
    {
        if (!Has(key)) return null;
        JsonElement value = Root.GetProperty(key);
        return value.ValueKind == JsonValueKind.Object ? new ConfigReader(Path, value) : throw Wrong(key, "an object");
    }

    /// <summary>An array of objects; empty where there is none.</summary>
    public ImmutableArray<ConfigReader> Objects(string key)
    {
        if (!Has(key)) return [];
        JsonElement value = Root.GetProperty(key);
        if (value.ValueKind != JsonValueKind.Array) throw Wrong(key, "an array of objects");
        ImmutableArray<ConfigReader>.Builder objects = ImmutableArray.CreateBuilder<ConfigReader>();
        foreach (JsonElement item in value.EnumerateArray())
            objects.Add(item.ValueKind == JsonValueKind.Object ? new ConfigReader(Path, item) : throw Wrong(key, "an array of objects"));
        return objects.ToImmutable();
    }

    public ImmutableArray<int> Integers(string key)
    {
        if (!Has(key)) return [];
        JsonElement value = Root.GetProperty(key);
        List<int> numbers = [];
        IEnumerable<JsonElement> items = value.ValueKind == JsonValueKind.Array ? value.EnumerateArray() : [value];
        foreach (JsonElement item in items)
        {
            if (item.ValueKind != JsonValueKind.Number || !item.TryGetInt32(out int number)) throw Wrong(key, "whole numbers");
            numbers.Add(number);
        }
        return [.. numbers];
    }

    public ImmutableArray<string> Strings(string key)
    {
        if (!Has(key)) return [];
        JsonElement value = Root.GetProperty(key);
        if (value.ValueKind != JsonValueKind.Array) throw Wrong(key, "an array of strings");
        List<string> texts = [];
        foreach (JsonElement item in value.EnumerateArray())
        {
            if (item.ValueKind != JsonValueKind.String) throw Wrong(key, "an array of strings");
            texts.Add(item.GetString()!);
        }
        return [.. texts];
    }

    public NonlinearityKind Activation(string key) => Text(key) switch
    {
        "silu" or "swish" => NonlinearityKind.Silu,
        "gelu" => NonlinearityKind.Gelu,
        "gelu_new" or "gelu_pytorch_tanh" or "gelu_fast" => NonlinearityKind.GeluTanh,
        "relu" => NonlinearityKind.Relu,
        "relu2" => NonlinearityKind.ReluSquared,
        _ => throw Wrong(key, "silu, gelu, gelu_new, relu or relu2"),
    };

    /// <summary>Rotary embedding in both forms of the wild: <c>rope_parameters</c> (transformers 5) and <c>rope_theta</c> with <c>rope_scaling</c>.</summary>
    /// <param name="headDim">Features of a head.</param>
    /// <param name="contextLength">Most tokens of the model.</param>
    /// <param name="share">Of a head's features, those that turn where the file does not say.</param>
    public RopeConfig Rope(int headDim, int contextLength, float share = 1)
    {
        ConfigReader? nested = Object("rope_parameters") ?? Object("rope_scaling");
        float theta = nested is not null && nested.Has("rope_theta") ? nested.Float("rope_theta") : Float("rope_theta", Float("rotary_emb_base", 10000f));
        float partial = nested is not null && nested.Has("partial_rotary_factor")
            ? nested.Float("partial_rotary_factor") : Float("partial_rotary_factor", Float("rotary_pct", share));
        RopeConfig rope = new() { Theta = theta, Dim = (int)(headDim * partial), Interleaved = Flag("rope_interleaved", false) };
        string type = nested?.Text("rope_type", nested.Text("type", "default")) ?? "default";
        if (nested is null || type == "default") return rope;
        int original = nested.Size("original_max_position_embeddings", Size("original_max_position_embeddings", contextLength));
        return type switch
        {
            "linear" => rope with { Scaling = RopeScaling.Linear, Factor = nested.Float("factor") },
            "llama3" => rope with
            {
                Scaling = RopeScaling.Llama3,
                Factor = nested.Float("factor"),
                OriginalContext = original,
                LowFrequencyFactor = nested.Float("low_freq_factor"),
                HighFrequencyFactor = nested.Float("high_freq_factor"),
            },
            "yarn" => rope with
            {
                Scaling = RopeScaling.Yarn,
                Factor = nested.Float("factor"),
                OriginalContext = original,
                BetaFast = nested.Float("beta_fast", 32),
                BetaSlow = nested.Float("beta_slow", 1),
                AttentionFactor = nested.Has("attention_factor") ? nested.Float("attention_factor") : null,
            },
            _ => throw new LowbitFormatException(Path, $"rope scaling \"{type}\" is not supported; expected default, linear, llama3 or yarn."),
        };
    }

    /// <summary>Sliding windows block by block, or an empty list where every block sees everything.</summary>
    public ImmutableArray<int?> SlidingWindows(int blocks, bool enabled)
    {
        if (!enabled || !Has("sliding_window")) return [];
        int window = Size("sliding_window");
        ImmutableArray<string> types = Strings("layer_types");
        if (!types.IsEmpty && types.Length != blocks)
            throw new LowbitFormatException(Path, $"\"layer_types\" has {types.Length} entries, but the model has {blocks} blocks.");
        int first = types.IsEmpty && Has("max_window_layers") ? Size("max_window_layers") : 0;
        ImmutableArray<int?>.Builder windows = ImmutableArray.CreateBuilder<int?>(blocks);
        for (int i = 0; i < blocks; i++)
            windows.Add(types.IsEmpty ? i >= first ? window : null : types[i] == "sliding_attention" ? window : null);
        return windows.MoveToImmutable();
    }

    public LowbitFormatException Wrong(string key, string expected) => Root.TryGetProperty(key, out JsonElement value)
        ? new(Path, $"\"{key}\" is {Short(value.GetRawText())}; expected {expected}.")
        : Missing(key);

    private LowbitFormatException Missing(string key) => new(Path, $"\"{key}\" is missing; the file does not describe a model of this family completely.");

    private static string Short(string text) => text.Length <= 60 ? text : text[..60] + "...";
}
